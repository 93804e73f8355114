"""What an experiment left behind: read from the working tree, or from any revision that DVC knows, without checking it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import version
from pipeline.errors import PipelineError, raise_all

WORKSPACE, COMMIT = "workspace", "HEAD"
IGNORED = ("split.fold", "curve", "study", "pools", "evaluate", "quality", "report")


@dataclass(frozen=True)
class Experiment:
    """One run of the pipeline.

    params: its params.yaml. test: its COCO ground truth. predictions: (point, seed) -> COCO results. sizes: point -> n_train,
    n_real, n_synthetic, arm, and val_sens_at_1fp (None where nothing can be chosen on validation images). quality: its quality.json.
    """

    name: str
    params: dict[str, Any]
    test: dict[str, Any]
    predictions: dict[tuple[str, int], list[dict[str, Any]]]
    sizes: dict[str, dict[str, Any]]
    quality: dict[str, Any]

    @property
    def points(self) -> list[str]:
        return list(self.params["study"]["points"])

    @property
    def seeds(self) -> list[int]:
        return list(self.params["study"]["seeds"])

    @property
    def generator(self) -> tuple[str, str]:
        """(architecture, labels) of the infilling GAN, as in params `gen`."""
        return self.params["gen"]["arch"], self.params["gen"]["labels"]


def read(name: str) -> Experiment:
    """The experiment `name`: a revision or an experiment of DVC, or `workspace`.

    Raises PipelineError that lists every file that is missing, as after `dvc gc` or before `dvc repro`.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        tree = DVCFileSystem(rev=None if name == WORKSPACE else name)
        params = _yaml(tree, "params.yaml", name)
        study = params["study"]
        cells = [(point, seed) for point in study["points"] for seed in study["seeds"]]
        files = {cell: f"predictions/{cell[0]}/{cell[1]}.json" for cell in cells}
        needed = ("data/prepared/test/annotations.json", "reports/metrics.json", "reports/quality.json")
        raise_all(
            [path for path in (*needed, *files.values()) if not tree.exists(path)],
            f"experiment {name} lacks files; run it (`dvc repro`, or `dvc exp run` again)",
        )
        test, metrics, quality = (_json(tree, path) for path in needed)
        predictions = {cell: _json(tree, path) for cell, path in files.items()}
    except (DvcException, SCMError, FileNotFoundError) as error:
        raise PipelineError(f"experiment {name} cannot be read: {error}; `dvc exp list` names the experiments") from None
    with version.reading(f"reports/metrics.json of {name}", metrics):
        sizes = {
            point: {key: metrics["points"][point].get(key) for key in ("arm", "n_train", "n_real", "n_synthetic", "val_sens_at_1fp")}
            for point in study["points"]
        }
    return Experiment(name, params, test, predictions, sizes, quality)


def _json(tree: Any, path: str) -> Any:
    import json

    return json.loads(tree.read_text(path, encoding="utf-8"))


def _yaml(tree: Any, path: str, name: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    if not tree.exists(path):
        raise PipelineError(f"{name} is no experiment or revision with a {path}; `dvc exp list` names the experiments")
    return dict(YAML(typ="safe", pure=True).load(tree.read_text(path, encoding="utf-8")))


def flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, without the keys that name no other way to make detectors (IGNORED)."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if name not in IGNORED:
            found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def differing(experiments: Sequence[Experiment]) -> list[str]:
    """Dotted keys of the params in which the experiments differ, in the order of params.yaml.

    That one of them lacks a key, which is of a later version then, is no difference.
    """
    every = [flat(one.params) for one in experiments]
    keys = dict.fromkeys(key for one in every for key in one)
    return [key for key in keys if len({str(one[key]) for one in every if key in one}) > 1]


def holds(params: Any, earlier: Any) -> bool:
    """Whether `params` say all that `earlier` ones say, to which a later version may have added keys."""
    if isinstance(params, dict) and isinstance(earlier, dict):
        return all(key in params and holds(params[key], value) for key, value in earlier.items())
    return bool(params == earlier)


def listed(root: Path = Path()) -> list[str]:
    """`workspace`, the current commit and every experiment on it, by name."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        if repo.config["core"].get("no_scm"):
            return [WORKSPACE]
        return [WORKSPACE, COMMIT, *sorted(name for found in repo.experiments.ls().values() for name in (one[0] for one in found))]
