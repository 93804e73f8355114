"""Who is in which part: a pure function of (seed, patient), so that new patients move nobody."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pipeline import rng
from pipeline.errors import PipelineError
from pipeline.params import Split

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


def split_patients(patients: Iterable[str], seed: int, params: Split) -> dict[str, Part]:
    """The part of every patient; training patients beyond `params.train_fraction` are in no part and left out.

    holdout: shares of test and val. kfold: fold `params.fold` is the test part, val the share `params.val` of all
    patients, taken from the rest. The kept training patients are the first in an order by hash, so a smaller fraction
    keeps a subset of a larger one. Raises PipelineError that names every empty part.
    """
    everyone = sorted(set(patients))
    parts = {patient: _part(patient, seed, params) for patient in everyone}
    training = sorted((p for p in everyone if parts[p] == "train"), key=lambda p: (_uniform(seed, "train_fraction", p), p))
    for patient in training[max(1, round(params.train_fraction * len(training))) :]:
        del parts[patient]
    empty = [part for part in PARTS if part not in parts.values()]
    if empty:
        share = f"fold {params.fold} of {params.folds}" if params.scheme == "kfold" else f"test {params.test}"
        raise PipelineError(
            f"no patient falls into {', '.join(empty)} ({len(everyone)} patients, {share}, val {params.val}): "
            "change the shares in split, take another seed or add patients"
        )
    return parts


def check_parts(patients: Mapping[Part, Iterable[str]], lesions: Mapping[Part, int]) -> None:
    """Raise PipelineError where a patient is in two parts, or where train or test has no lesion to learn from or to find."""
    seen: dict[str, Part] = {}
    for part, members in patients.items():
        for patient in sorted(set(members)):
            if patient in seen:
                raise PipelineError(f"patient {patient} is in both {seen[patient]} and {part}")
            seen[patient] = part
    without = [part for part in ("train", "test") if not lesions.get(part)]
    if without:
        raise PipelineError(f"{' and '.join(without)} holds no lesion; change the shares in split, take another seed or add patients")


def _part(patient: str, seed: int, params: Split) -> Part:
    where = _uniform(seed, "split", patient)
    if params.scheme == "holdout":
        return "test" if where < params.test else "val" if where < params.test + params.val else "train"
    if int(where * params.folds) == params.fold:
        return "test"
    return "val" if _uniform(seed, "val", patient) < params.val * params.folds / (params.folds - 1) else "train"


def _uniform(seed: int, what: str, patient: str) -> float:
    return float(rng.generator(seed, what, patient).random())
