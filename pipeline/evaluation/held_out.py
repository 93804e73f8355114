"""The last wall between training and test: patients by name, images by their bytes."""

from collections.abc import Mapping
from pathlib import Path

from pipeline import coco, leaks
from pipeline.errors import raise_all
from pipeline.io import sha256


def check_study(trainsets: Mapping[str, Path], held_out: Mapping[str, Path]) -> None:
    """Refuse trainsets that share a patient, or the bytes of an image, with what is held out. Raises PipelineError.

    Both: name to annotations.json. Images of `held_out` that are not there are not compared.
    """
    learned = {name: coco.read(path) for name, path in trainsets.items()}
    others = {name: coco.read(path) for name, path in held_out.items()}
    leaks.require_unseen(
        {name: leaks.patients(one) for name, one in learned.items()}, {name: leaks.patients(one) for name, one in others.items()}
    )
    files = {
        part: [held_out[part].parent / image["file_name"] for image in one["images"] if "file_name" in image]
        for part, one in others.items()
    }
    known = {sha256(file): f"{part} {file.name}" for part, paths in files.items() for file in paths if file.is_file()}
    raise_all(
        [
            f"{name}: {image['file_name']} is {known[image['sha256']]}"
            for name, one in learned.items()
            for image in one["images"]
            if image.get("sha256") in known
        ],
        "training images that are test or validation images too; take the copies out of the source",
    )
