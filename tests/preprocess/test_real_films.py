from pathlib import Path

import numpy as np
import pytest

from benchmarks.cleaning import tissue_dice

NORMALS = Path(__file__).resolve().parents[3] / "shared" / "data" / "normals"


@pytest.mark.skipif(not (NORMALS / "tissue").is_dir(), reason=f"{NORMALS}/tissue is absent: no films with tissue truth")
def test_breast_and_muscle_of_films_with_tissue_truth():
    breast, muscle = np.array([row[1:] for row in tissue_dice(NORMALS)]).T
    assert len(breast) == 33
    assert breast.mean() >= 0.97 and breast.min() >= 0.90
    assert muscle.mean() >= 0.85
