"""Run the pending trainings of dvc.yaml on the machines of a Ray cluster, then finish the graph here.

  python -m pipeline.cluster run                      Ray started here, as many cells at once as cores allow
  python -m pipeline.cluster run --address auto       the Ray that runs on this machine (`ray start --head`)
  python -m pipeline.cluster run --address ray://HEAD:10001

Needs a DVC remote that all machines reach (`dvc remote add -d store URL`) and this repository's HEAD where they clone it
from. What comes out is the same as of `dvc repro` with the same runtime.threads. See docs/cluster.md.
"""

import argparse
import sys
from pathlib import Path

from pipeline.cli import guarded, parser


def origin() -> str:
    """URL of this repository's origin, else the path of the repository itself."""
    from pipeline.schedule import git

    return git("remote", "get-url", "origin") or str(Path.cwd())


def main() -> None:
    made = parser(__doc__)
    made.add_argument("command", choices=("run",))
    made.add_argument("--address", help="of a running Ray cluster (default: start Ray on this machine)")
    made.add_argument("--repository", help="URL or path that the machines clone (default: git's origin, else this folder)")
    made.add_argument("--gpus", type=float, default=0.0, help="GPUs of a cell (default: 0)")
    made.add_argument("--retries", type=int, default=3, help="times that a cell is tried again after it or its machine died (default: 3)")
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    args = made.parse_args()

    def work() -> None:
        from pipeline.cluster.head import Cluster, run
        from pipeline.params import load

        cpus = load().runtime.threads
        sys.exit(run(Cluster(args.address, cpus, args.gpus, args.retries, args.repository or origin())))

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
