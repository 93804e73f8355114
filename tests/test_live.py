"""What the watcher of running trainings passes on: every whole row once, every picture once."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from pipeline.io import write_png
from pipeline.live import Watcher
from tests.code_deps import ROOT


class Recorder:
    def __init__(self, name):
        self.name, self.scalars, self.images = name, [], []

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, value, step))

    def add_image(self, tag, image, step, *, dataformats):
        self.images.append((tag, image.shape, step, dataformats))

    def flush(self):
        pass


@pytest.fixture
def running(tmp_path):
    """A GAN and a detector of which each wrote some rows; the last row of the GAN is half written."""
    gan, cell = tmp_path / "train_infill/abc", tmp_path / "train_detector/real-0/def"
    for folder in (gan, cell, tmp_path / "run"):
        folder.mkdir(parents=True)
    (gan / "losses.csv").write_text("iteration,adversarial,discriminator\n10,0.5,0.7\n20,0.4,0.6\n30,0.")
    (cell / "losses.csv").write_text("iteration,loss\n5,1.5\n")
    write_png(gan / "painted_000000020.png", np.zeros((8, 24), np.uint8))
    return tmp_path, gan


def test_rows_and_pictures_are_passed_on_once(running):
    root, gan = running
    made = {}
    watcher = Watcher(root, lambda name: made.setdefault(name, Recorder(name)))
    assert watcher.update() == 2 + 1 + 1
    infill = made["train_infill/abc"]
    assert infill.scalars == [
        ("loss/adversarial", 0.5, 10),
        ("loss/discriminator", 0.7, 10),
        ("loss/adversarial", 0.4, 20),
        ("loss/discriminator", 0.6, 20),
    ]
    assert infill.images == [("painted", (8, 24), 20, "HW")] and made["train_detector/real-0/def"].scalars == [("loss/loss", 1.5, 5)]
    assert watcher.update() == 0
    (gan / "losses.csv").write_text("iteration,adversarial,discriminator\n10,0.5,0.7\n20,0.4,0.6\n30,0.3,0.5\n")
    assert watcher.update() == 1 and infill.scalars[-1] == ("loss/discriminator", 0.5, 30)


def test_without_tensorboard_the_remedy_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.live", "--once"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    if importlib.util.find_spec("tensorboard") is None:
        assert done.returncode == 2 and "pip install tensorboard" in done.stderr and "Traceback" not in done.stderr
    else:
        assert done.returncode == 0
