"""Profiles: overlays on params.yaml that hold only the keys that differ (`profiles/<name>.yaml`).

python -m pipeline.profile smoke            print the -S flags for `dvc exp run`
python -m pipeline.profile smoke --write    write them into params.yaml (`git restore params.yaml` undoes it)
python -m pipeline.profile smoke --check    only check that the result is valid
python -m pipeline.profile paper --plan     list its trainings with images, steps, memory and hours on a GPU, and missing weights
"""

import argparse
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import guarded, parser

if TYPE_CHECKING:
    from pipeline.params import Params

FOLDER = Path("profiles")


def merge(base: Any, overlay: Any) -> Any:
    """Blocks are merged key by key, anything else (lists too) is replaced. Neither argument is changed."""
    if not (isinstance(base, dict) and isinstance(overlay, dict)):
        return overlay
    return {**base, **{key: merge(base.get(key), value) for key, value in overlay.items()}}


def flags(overlay: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """`key=value` of every leaf, as `dvc exp run -S` takes it."""
    for key, value in overlay.items():
        if isinstance(value, dict) and value:
            yield from flags(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={json.dumps(value)}"


def read(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The overlay `name`. Raises PipelineError that lists the profiles where there is none of that name."""
    from pipeline.errors import PipelineError
    from pipeline.params import read_yaml

    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in names:
        raise PipelineError(f"no profile {name}; profiles are {', '.join(names)}")
    return dict(read_yaml(folder / f"{name}.yaml"))


def write(overlay: dict[str, Any], path: Path) -> None:
    """Set the overlay's values in the YAML file `path`; comments and order stay."""
    from ruamel.yaml import YAML

    from pipeline.io import atomic

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 200
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null"))
    values = yaml.load(path)
    _assign(values, overlay)
    with atomic(path) as temporary:
        yaml.dump(values, temporary)


@contextmanager
def applied(overlay: dict[str, Any], path: Path) -> Iterator[None]:
    """The YAML file `path` with the overlay inside of the block, as it was after it, whatever happens there; SIGTERM ends the process."""
    before = path.read_bytes()

    def ended(number: int, _: object) -> None:
        path.write_bytes(before)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    kept = signal.signal(signal.SIGTERM, ended)
    try:
        write(overlay, path)
        yield
    finally:
        path.write_bytes(before)
        signal.signal(signal.SIGTERM, kept)


def _assign(values: Any, overlay: dict[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _assign(values[key], value)
        else:
            values[key] = value


def _plan(params: "Params", args: argparse.Namespace) -> None:
    from pipeline import plan
    from pipeline.report.paper import GENERATORS

    reached, capacity = (args.tflops, None) if args.tflops else plan.reached(args.gpu)
    generators: list[tuple[str, str]] = [(params.gen.arch, params.gen.labels)]
    if not args.own:
        generators = list(dict.fromkeys([*generators, *((one.arch, one.labels) for one in GENERATORS)]))
    found = plan.trainings(params, args.real or plan.REAL, generators)
    print(plan.table(found, "device" if args.tflops else args.gpu, reached, capacity))
    lacking = list(plan.missing_weights(params))
    print("\nweights still needed:" if lacking else "\nall weights are at hand", *lacking, sep="\n  ")


def main() -> None:
    made = parser(__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("name", help="a file of profiles/ without .yaml")
    made.add_argument("--write", action="store_true", help="write the overlay into params.yaml")
    made.add_argument("--check", action="store_true", help="check the merged params, print nothing")
    made.add_argument("--plan", action="store_true", help="list what the study would train, and what it would cost")
    made.add_argument("--gpu", default="a100", help="GPU of the plan (default: a100)")
    made.add_argument("--tflops", type=float, metavar="T", help="TFLOP/s that it reaches in trainings, for other devices")
    made.add_argument("--real", type=int, metavar="N", help="training images with a mass (default: 566, the paper's on DDSM as we infer)")
    made.add_argument("--own", action="store_true", help="plan with the profile's generator alone, not with all of `make ablation`")
    made.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    args = made.parse_args()

    def work() -> None:
        from pipeline.params import check, read_yaml

        overlay = read(args.name)
        params = check(merge(read_yaml(args.params), overlay), f"{args.params} with profile {args.name}")
        if args.plan:
            _plan(params, args)
        elif args.write:
            write(overlay, args.params)
        elif not args.check:
            print(" ".join(f"-S '{flag}'" for flag in flags(overlay)))

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
