"""What cannot be evaluated is refused by name; what is odd but defined is not."""

import math
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.truth import detections, truth
from tests.evaluation.cases import dataset, image, results

BOX = [1.0, 2.0, 3.0, 4.0]
GT = dataset([image(1, "a"), image(2, "b")], [(1, BOX)])


def read(found: Any) -> Any:
    return detections(found, truth(GT, "gt.json"), "dt.json")


def test_every_unknown_image_is_named() -> None:
    with pytest.raises(PipelineError) as error:
        read(results((1, BOX, 0.5), (7, BOX, 0.5), (9, BOX, 0.5)))
    assert "dt.json: image_id is not in gt.json (2)" in str(error.value)
    assert "entry 1: image_id 7" in str(error.value) and "entry 2: image_id 9" in str(error.value)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, None, "high"])
def test_a_score_that_is_no_finite_number_is_an_error(score: Any) -> None:
    with pytest.raises(PipelineError, match=r"scores must be finite numbers \(1\)(.|\n)*entry 1"):
        read(results((1, BOX, 0.5), (1, BOX, score)))


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, -3, 4], [1, 2, 3, math.nan], [1, 2, 3, "4a"], 7])
def test_an_impossible_box_is_an_error(box: Any) -> None:
    with pytest.raises(PipelineError, match="a bbox is x, y, width, height"):
        read(results((1, box, 0.5), (1, BOX, 0.5)))
    with pytest.raises(PipelineError, match="a bbox is x, y, width, height"):
        truth(dataset([image(1)], [(1, box), (1, BOX)]))


def test_a_lesion_without_extent_is_an_error() -> None:
    with pytest.raises(PipelineError, match="the sides positive"):
        truth(dataset([image(1)], [(1, [1, 2, 0, 4])]))


def test_no_images_repeated_images_and_stray_annotations_are_errors() -> None:
    with pytest.raises(PipelineError, match="has no images"):
        truth(dataset([], []))
    with pytest.raises(PipelineError, match=r"images without id(.|\n)*image number 1"):
        truth({**dataset([image(1)], []), "images": [{"id": 1}, {"file_name": "a.png"}]})
    with pytest.raises(PipelineError, match="image ids that occur twice"):
        truth(dataset([image(1), image(1)], []))
    with pytest.raises(PipelineError, match=r"annotations of unknown images(.|\n)*image_id 3"):
        truth(dataset([image(1)], [(3, BOX)]))


def test_one_category_is_evaluated() -> None:
    with pytest.raises(PipelineError, match="category_id"):
        read([{**one, "category_id": 2} for one in results((1, BOX, 0.5))])
    two = dataset([image(1)], [(1, BOX), (1, BOX)])
    two["annotations"][1]["category_id"] = 2
    with pytest.raises(PipelineError, match=r"categories \[1, 2\]"):
        truth(two)


@pytest.mark.parametrize("found", [{"annotations": []}, [1, 2], None])
def test_detections_are_a_list_of_records(found: Any) -> None:
    with pytest.raises(PipelineError, match=r"COCO results .*is no list of entries"):
        read(found)


def test_boxes_become_xyxy_with_their_area() -> None:
    found = read(results((2, BOX, 0.5)))
    assert found.xyxy.tolist() == [[1, 2, 4, 6]] and found.area.tolist() == [12] and found.image.tolist() == [1]


def test_an_image_without_a_patient_is_a_cluster_of_its_own() -> None:
    known = truth(dataset([image(1, "a"), image(2), image(3, "a"), image(4, ""), image(5, math.nan)], []))
    assert known.cluster.tolist() == [0, 1, 0, 2, 3]
    assert known.n_patients is None and "3 images" in known.resampled
    assert truth(dataset([image(1), image(2)], [])).resampled == "images"
    assert truth(GT).n_patients == 2


def test_ignored_regions_are_no_lesions() -> None:
    known = truth(dataset([image(1), image(2)], [(2, BOX)], [(1, BOX)]))
    assert len(known.lesions) == len(known.regions) == 1
    assert known.has_lesion.tolist() == [False, True]
    assert np.isnan(known.spacing).all()
