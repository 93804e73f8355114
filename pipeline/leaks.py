"""The wall between training and test, asserted wherever something learned is used.

`preprocess` splits by patient; these checks catch whatever goes wrong after it: a foreign model, a pool of another
experiment, an edited table. `pipeline.evaluation.held_out` compares images too.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pipeline.errors import raise_all


def require_training(seen: Mapping[str, Iterable[str]], training: Collection[str]) -> None:
    """Refuse what has seen others than training patients. seen: name of an artefact to patients. Raises PipelineError."""
    raise_all(
        [f"{what}: patient {patient}" for what, patients in seen.items() for patient in sorted(set(patients) - set(training))],
        "made from patients who are not among the training patients of this experiment; run `dvc repro` to make it again",
    )


def require_unseen(learned: Mapping[str, Iterable[str]], held_out: Mapping[str, Iterable[str]]) -> None:
    """Refuse patients who are both learned from and held out. Both: name to patients. Raises PipelineError."""
    raise_all(
        [
            f"patient {patient}: in {what} and in {part}"
            for what, patients in learned.items()
            for part, others in held_out.items()
            for patient in sorted(set(patients) & set(others))
        ],
        "patients who are learned from and tested on; run `dvc repro` to renew what is out of date",
    )


def patients(dataset: Mapping[str, Any]) -> set[str]:
    """Everybody whose pixels, or a model that saw them, are in a COCO data set; a trainset lists them in its `info`."""
    named = {str(image["patient_id"]) for image in dataset["images"] if image.get("patient_id") not in (None, "")}
    return named | set(dataset.get("info", {}).get("patients", ()))
