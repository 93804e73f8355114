"""Who is in which part: a pure function of (seed, patient), so that new patients move nobody."""

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from pipeline import rng
from pipeline.errors import raise_all
from pipeline.params import Split

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


def split_patients(patients: Iterable[str], seed: int, params: Split) -> dict[str, Part]:
    """The part of every patient; training patients beyond `params.train_fraction` are in no part and left out.

    holdout: shares of test and val. kfold: fold `params.fold` is the test part, val the share `params.val` of all
    patients, taken from the rest. The kept training patients are the first in an order by hash, so a smaller fraction
    keeps a subset of a larger one.
    """
    everyone = sorted(set(patients))
    parts = {patient: _part(patient, seed, params) for patient in everyone}
    training = sorted((p for p in everyone if parts[p] == "train"), key=lambda p: (_uniform(seed, "train_fraction", p), p))
    for patient in training[max(1, round(params.train_fraction * len(training))) :]:
        del parts[patient]
    return parts


def check_parts(patients: Mapping[Part, Iterable[str]], lesions: Mapping[Part, int], wanted: Collection[Part] = PARTS) -> None:
    """Refuse parts that share a patient, that hold none, or train or test without a lesion to learn from or to find.

    patients: of the mammograms in each part. lesions: how many count in each part. wanted: parts that must not be empty.
    Raises PipelineError.
    """
    members = {part: set(patients.get(part, ())) for part in PARTS}
    faults = [f"{part} holds no patient" for part in wanted if not members[part]]
    faults += [
        f"{part} holds no lesion (benign ones do not count)" for part in ("train", "test") if members[part] and not lesions.get(part)
    ]
    for one, other in itertools.combinations(PARTS, 2):
        faults += [f"patient {patient} is in both {one} and {other}" for patient in sorted(members[one] & members[other])]
    raise_all(faults, "unusable split; change the shares in split, take another seed or add patients")


def _part(patient: str, seed: int, params: Split) -> Part:
    where = _uniform(seed, "split", patient)
    if params.scheme == "holdout":
        return "test" if where < params.test else "val" if where < params.test + params.val else "train"
    if int(where * params.folds) == params.fold:
        return "test"
    return "val" if _uniform(seed, "val", patient) < params.val * params.folds / (params.folds - 1) else "train"


def _uniform(seed: int, what: str, patient: str) -> float:
    return float(rng.generator(seed, what, patient).random())
