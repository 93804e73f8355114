"""Two processes that share each batch train as one process does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.training.checkpoints import load_state
from tests.conftest import ENVIRONMENT
from tests.detection.conftest import write_set
from tests.training import together

LOSSES = {"infill": "infill", "masks": "masks", "light_head": "light_head/0", "retinanet": "retinanet/0"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What one process wrote, and what two wrote."""
    root = tmp_path_factory.mktemp("together")
    annotations = write_set(root / "set")
    launcher = [
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "--local-addr",
        "127.0.0.1",
        "-m",
        "tests.training.together",
    ]
    (root / "two").mkdir()
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *launcher, root / "two", annotations], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    (root / "one").mkdir()
    together.run(root / "one", annotations)
    return root / "one", root / "two"


@pytest.mark.parametrize("kind", LOSSES)
def test_the_losses_of_every_step_are_the_same_within_rounding(folders, kind):
    one, two = (pd.read_csv(folder / LOSSES[kind] / "losses.csv") for folder in folders)
    assert list(one.columns) == list(two.columns) and len(one) == len(two) == together.STEPS
    wanted = [name for name in one.columns if name != "acc"]  # a share of decisions: one more or less is no rounding
    assert one["iteration"].iloc[-1] == together.STEPS and one[wanted[1:]].std().max() > 1e-3
    np.testing.assert_allclose(two[wanted], one[wanted], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("arch", ["light_head", "retinanet"])
def test_the_detectors_are_the_same_within_rounding(folders, arch):
    one, two = (load_state(folder / arch / "0" / "model.pth")["state_dict"] for folder in folders)
    assert one.keys() == two.keys()
    # in all: AdamW makes a whole step of the rounding of a weight without gradient
    ours, theirs = (torch.cat([value.float().flatten() for value in state.values()]) for state in (two, one))
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def test_batch_normalisation_has_the_statistics_of_both_parts(folders):
    one, two = (load_state(folder / "statistics.pth") for folder in folders)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=lambda found, name=name: f"{name}: {found}")
