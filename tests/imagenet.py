"""The ImageNet weights for tests that need them: those at hand, or the test is skipped. Nothing is fetched."""

from pathlib import Path

import pytest

from pipeline import weights

ROOT = Path(__file__).resolve().parent.parent


def archive() -> Path:
    path = ROOT / weights.CACHE / weights.ARCHIVE
    if not path.is_file():
        pytest.skip(f"{weights.CACHE / weights.ARCHIVE} is not fetched; `python -m stages.weights` fetches it")
    return weights.fetch(path.parent)


def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the stage weights writes it, with AlexNet and VGG-16."""
    made = tmp_path_factory.getbasetemp() / "imagenet"
    if not made.is_dir():
        weights.write(made, "vgg16", cache=archive().parent)
    return made
