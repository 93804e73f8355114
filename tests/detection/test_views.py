"""Several views of one image, joined."""

import numpy as np
import pytest

from pipeline.detection import views
from pipeline.detection.detect import detect, load_detector, predict
from tests.detection.conftest import DETECT, RUNTIME

BOX = [10.0, 20, 30, 50]


def found(*rows):
    return np.array([row[:4] for row in rows], np.float32).reshape(-1, 4), np.array([row[4] for row in rows], np.float32)


def test_boxes_of_all_views_lie_in_the_image_as_it_is():
    """The one bright px of each view is found; a flipped view brings it back to the same place."""
    image = np.zeros((40, 60), np.float32)
    image[8:12, 20:24] = 1

    def brightest(seen, scale):
        rows, columns = np.nonzero(seen > 0.5)
        return found((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, scale))

    for flip in (False, True):
        boxes, scores = views._view(image, brightest, 2.0, flip)
        assert boxes.tolist() == [[20, 8, 24, 12]] and scores.tolist() == [2.0]


@pytest.mark.parametrize("size", [None, [48, 64]])
def test_a_view_is_as_large_as_its_scale_says(trained, monkeypatch, size):
    model = load_detector(trained.folder)
    model.size = size
    seen = []
    step = model.test_step
    monkeypatch.setattr(model, "test_step", lambda data: seen.append(tuple(data["inputs"][0].shape[1:])) or step(data))
    image = np.full((64, 48), 0.5, np.float32)
    settings = DETECT.model_copy(update={"scales": [1.0, 1.5], "flip": True})
    predict(model, image, settings, RUNTIME)
    assert seen == [(64, 48), (96, 72)] * 2


def test_scores_are_means_over_views_and_a_view_without_a_finding_counts_as_0():
    near = [11.0, 20, 31, 50]  # IoU with BOX: 19 x 30 of 21 x 30
    boxes, scores = views.join([found((*BOX, 0.9), (100, 100, 120, 120, 0.8)), found((*near, 0.5))], 0.5, 10)
    assert scores == pytest.approx([0.7, 0.4])
    assert boxes[0].tolist() in (BOX, near) and boxes[1].tolist() == [100, 100, 120, 120]
    assert len(views.join([found((*BOX, 0.9), (100, 100, 120, 120, 0.8)), found((*near, 0.5))], 0.5, 1)[1]) == 1
    assert len(views.join([found(), found()], 0.5, 10)[1]) == 0
    assert views.join([found(), found((*BOX, 0.6))], 0.5, 10)[1] == pytest.approx([0.3])


def test_one_view_is_the_image_itself(trained):
    """A detector that learned flipped images finds the masses of both views in one place."""
    model = load_detector(trained.folder)
    plain = detect(model, trained.annotations, DETECT, RUNTIME)
    both = detect(model, trained.annotations, DETECT.model_copy(update={"flip": True, "scales": [1.0, 1.2]}), RUNTIME)
    assert plain == detect(model, trained.annotations, DETECT, RUNTIME) != both
    best = [{one["image_id"]: one["bbox"] for one in reversed(results)} for results in (plain, both)]
    centres = [np.array([[x + width / 2, y + height / 2] for x, y, width, height in boxes.values()]) for boxes in best]
    assert best[0].keys() == best[1].keys() and np.median(np.abs(centres[0] - centres[1])) < 2
