"""Healthy mammograms of a second source: never pooled with the others, a row of their own."""

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation import second, study
from pipeline.evaluation.froc import Rules, judge
from pipeline.evaluation.matching import parse_hit
from pipeline.evaluation.truth import detections, truth

RULES = Rules(parse_hit("iou:0.5"), "fp", "all", "image", 0.5)


def dataset(with_second=True):
    """Two images of two patients with a lesion each, and three of the second source of two patients."""
    images = [{"id": n, "image_id": str(n), "patient_id": f"p{n}"} for n in (1, 2)]
    if with_second:
        images[1:1] = [{"id": n, "image_id": str(n), "patient_id": f"h{n // 2}", "role": "normals", "source": "other"} for n in (4, 5, 6)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 10, 10], "iscrowd": 0} for n in (1, 2)]
    return {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "mass"}]}


def box(image, score, x=0):
    return {"image_id": image, "category_id": 1, "bbox": [x, 0, 10, 10], "score": score}


# On the first source: hits at .9 and .6, false positives at .8, .5 and .3, so 1 FP per image (two of them) is reached down to .5.
FIRST = [box(1, 0.9), box(1, 0.8, 50), box(2, 0.6), box(2, 0.5, 50), box(2, 0.3, 80)]
SECOND = [box(4, 0.95), box(4, 0.7), box(5, 0.5), box(6, 0.4), box(6, 0.2)]


def test_numbers_of_the_first_source_do_not_know_of_the_second():
    tables = []
    for results, source in (([*SECOND, *FIRST], dataset()), (FIRST, dataset(False))):
        known = truth(source)
        point = study.Point("real", "real", 2, 0, {0: detections(results, known)})
        tables.append(study.evaluate(known, [point], RULES, 50, 3))
    assert tables[0] == tables[1] and tables[0].metrics["test"]["n_images"] == 2


def test_false_positives_of_the_second_source_at_the_threshold_of_the_first():
    known = truth(dataset())
    results = [*SECOND, *FIRST]
    found, apart = detections(results, known), detections(results, known, second=True)
    _, data = judge(known, found, RULES)
    assert second.threshold(data) == 0.5
    assert (len(found), len(apart), apart.image.tolist()) == (5, 5, [0, 0, 1, 2, 2])
    point = study.Point("real", "real", 2, 0, {0: found}, second={0: apart})
    block = study.evaluate(known, [point], RULES, 200, 3).metrics["second_source"]
    assert {key: block[key] for key in ("n_images", "n_patients", "sources")} == {"n_images": 3, "n_patients": 2, "sources": ["other"]}
    mean = block["points"]["real"]["mean"]
    assert mean["value"] == pytest.approx(3 / 3)  # .95, .7 and .5 in three images
    assert mean["ci95"][0] <= 0 + 1e-9 and mean["ci95"][1] >= 1.5 - 1e-9  # h2 alone: 3 in two images; h3 alone: none in one


def test_a_threshold_that_no_score_reaches_finds_nothing():
    known = truth(dataset())
    crowd = [box(1, 0.9, 20 * k) for k in range(1, 6)]
    found = detections(crowd, known)
    _, data = judge(known, found, RULES)
    assert second.threshold(data) == np.inf
    row = second.row(known, {0: (data, detections(SECOND, known, second=True))}, 50, 3)
    assert row["mean"]["value"] == 0


def test_a_set_of_the_second_source_alone_is_refused():
    source = dataset()
    source["images"] = [image for image in source["images"] if image.get("role")]
    source["annotations"] = []
    with pytest.raises(PipelineError, match="has no images"):
        truth(source)
