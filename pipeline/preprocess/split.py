"""Who is in which part: a pure function of (seed, patient), so that new patients move nobody."""

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, Protocol

from pipeline import rng
from pipeline.errors import raise_all
from pipeline.params import Split

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


class Divided(Protocol):
    """What is needed of a case (pipeline.data.records.StoredCase)."""

    @property
    def image_id(self) -> str: ...
    @property
    def patient_id(self) -> str: ...
    @property
    def official_split(self) -> str: ...
    @property
    def role(self) -> str: ...


def split_patients(cases: Iterable[Divided], seed: int, params: Split) -> dict[str, Part]:
    """The part of every patient; training patients beyond `params.train_fraction` are in no part and left out.

    holdout: shares of test and val. kfold: fold `params.fold` is the test part, val the share `params.val` of all
    patients, taken from the rest; with `fixed_val` the same ones in all folds, who are then in no test part. official: test
    as the source divides its patients, val the share `params.val` of the others; patients of the second source alone, which
    has no such division, as by holdout. The kept training patients are the first in an order by hash, so a smaller fraction
    keeps a subset of a larger one. Raises PipelineError for official where a patient has no official part, or two.
    """
    everyone = sorted(cases, key=lambda case: (case.patient_id, case.image_id))
    said = _official(everyone) if params.scheme == "official" else {}
    parts = {patient: _part(patient, seed, params, said.get(patient, "")) for patient in dict.fromkeys(c.patient_id for c in everyone)}
    training = sorted((p for p in parts if parts[p] == "train"), key=lambda p: (_uniform(seed, "train_fraction", p), p))
    for patient in training[max(1, round(params.train_fraction * len(training))) :]:
        del parts[patient]
    return parts


def _official(cases: Iterable[Divided]) -> dict[str, str]:
    """Patient -> train or test, of the patients of the first source."""
    said: dict[str, set[str]] = {}
    for case in cases:
        if not case.role:
            said.setdefault(case.patient_id, set()).add(case.official_split)
    faults = [
        f"patient {patient} has images in {' and '.join(sorted(one or 'no part' for one in its))}"
        for patient, its in said.items()
        if its not in ({"train"}, {"test"})
    ]
    raise_all(faults, "no official split of these patients; set split.scheme to holdout or kfold, or take them out of the source")
    return {patient: its.pop() for patient, its in said.items()}


def check_parts(
    patients: Mapping[Part, Iterable[str]], lesions: Mapping[Part, int], targets: str = "malignant", wanted: Collection[Part] = PARTS
) -> None:
    """Refuse parts that share a patient, that hold none, or train or test without a lesion to learn from or to find.

    patients: of the mammograms in each part. lesions: how many count in each part. targets: `preprocess.targets`, of which
    kind these are. wanted: parts that must not be empty.
    Raises PipelineError.
    """
    members = {part: set(patients.get(part, ())) for part in PARTS}
    faults = [f"{part} holds no patient" for part in wanted if not members[part]]
    empty = [part for part in ("train", "test") if members[part] and not lesions.get(part)]
    faults += [f"{part} holds no lesion that counts (preprocess.targets: {targets})" for part in empty]
    for one, other in itertools.combinations(PARTS, 2):
        faults += [f"patient {patient} is in both {one} and {other}" for patient in sorted(members[one] & members[other])]
    raise_all(faults, "unusable split; change the shares in split, take another seed or add patients")


def _part(patient: str, seed: int, params: Split, official: str) -> Part:
    if official:
        return "test" if official == "test" else "val" if _uniform(seed, "val", patient) < params.val else "train"
    where = _uniform(seed, "split", patient)
    if params.scheme in ("holdout", "official"):
        return "test" if where < params.test else "val" if where < params.test + params.val else "train"
    if params.fixed_val and _uniform(seed, "dev", patient) < params.val:
        return "val"
    if int(where * params.folds) == params.fold:
        return "test"
    if params.fixed_val:
        return "train"
    return "val" if _uniform(seed, "val", patient) < params.val * params.folds / (params.folds - 1) else "train"


def _uniform(seed: int, what: str, patient: str) -> float:
    return float(rng.generator(seed, what, patient).random())
