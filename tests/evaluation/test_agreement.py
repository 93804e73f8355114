"""The evaluator against one written a second time (reference.py) and against pycocotools."""

import contextlib
import io
import itertools
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.evaluation.events import IMAGES, UNITS
from pipeline.evaluation.froc import Rules, evaluate, measure
from pipeline.evaluation.matching import FALSE_POSITIVE, IGNORED, match, parse_hit
from pipeline.evaluation.truth import detections, truth
from tests.evaluation import reference
from tests.evaluation.cases import dataset, image, random_study, results, studies

HITS = ("iou:0.5", "iou:0.1", "iou:1", "centre", "distance:1.5")
DUPLICATES = ("fp", "ignore")


def same(a: Any, b: Any) -> bool:
    return np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=0, atol=1e-12, equal_nan=True)


@settings(max_examples=250)
@given(studies(), st.sampled_from(HITS), st.sampled_from(DUPLICATES), st.sampled_from(IMAGES), st.sampled_from(tuple(UNITS)))
def test_every_number_equals_the_reference(study: Any, hit: str, duplicates: Any, images: Any, unit: Any) -> None:
    check_against_reference(*study, hit, duplicates, images, unit)


def test_every_number_equals_the_reference_in_thousands_of_random_studies() -> None:
    for seed, rules in zip(range(2700), itertools.cycle(itertools.product(HITS, DUPLICATES, IMAGES, UNITS)), strict=False):
        check_against_reference(*random_study(seed), *rules)


def check_against_reference(gt: Any, found: Any, hit: str, duplicates: Any, images: Any, unit: Any) -> None:
    known = truth(gt)
    result = evaluate(known, detections(found, known), Rules(parse_hit(hit), duplicates, images, unit, recall_score=0.5))
    points = reference.evaluate(gt, found, hit, duplicates, images, unit)
    for place, name in enumerate(("fp_per_image", "sensitivity", "threshold")):
        assert same(result["curve"][name], [point[place] for point in points]), name
    assert len(result["curve"]["threshold"]) == len(points)
    lesions = [a for a in gt["annotations"] if not a["iscrowd"]]
    n_counted = len(reference.counted_images(gt, images))
    defined = bool(lesions) and n_counted > 0
    end = points[-1][0] if points else 0.0
    for x, value in result["sensitivity_at"].items():
        assert same(value, reference.sensitivity_at(points, float(x)) if defined else math.nan)
        assert (x in result["past_end"]) == (defined and end < float(x)) or not defined
    assert same(result["mean_sens_0.25_4"], np.mean(list(result["sensitivity_at"].values())))
    for name, limit in (("0-0.25", 0.25), ("0-1", 1.0), ("support", end)):
        assert same(result["auc"][name], reference.area(points, limit) if defined else math.nan), name
    at_half = [sensitivity for _, sensitivity, threshold in points if threshold >= 0.5]
    assert same(result["recall"]["value"], (at_half or [0.0])[-1] if lesions else math.nan)
    fp_at_half = [fp for fp, _, threshold in points if threshold >= 0.5]
    assert same(result["fp_per_image_recall"], (fp_at_half or [0.0])[-1] if n_counted else math.nan)


@settings(max_examples=150)
@given(studies())
def test_wafroc_equals_its_definition(study: Any) -> None:
    gt, found = study
    known = truth(gt)
    result = evaluate(known, detections(found, known), Rules(parse_hit("iou:0.5")))
    sick = {a["image_id"] for a in gt["annotations"] if not a["iscrowd"]}
    name = "wafroc" if sick and reference.counted_images(gt, "normal") else "wafroc1"
    assert same(result[name], reference.wafroc(gt, found) if sick else math.nan)


@settings(max_examples=150)
@given(studies(), st.integers(0, 2**16))
def test_a_resample_equals_the_study_with_repeated_patients(study: Any, seed: int) -> None:
    """Weights of patients do what writing each patient's images as often into a file would do."""
    gt, found = study
    known = truth(gt)
    draws = np.random.default_rng(seed).integers(0, 3, known.n_clusters)
    if not draws.any():
        return
    rules = Rules(parse_hit("iou:0.5"), unit="image")
    weighted = measure(known, detections(found, known), rules, draws[None])
    copies = {i["id"]: [1000 * k + i["id"] for k in range(draws[known.cluster[n]])] for n, i in enumerate(gt["images"])}
    repeated = {
        "images": [{**i, "id": copy} for i in gt["images"] for copy in copies[i["id"]]],
        "annotations": [{**a, "image_id": copy} for a in gt["annotations"] for copy in copies[a["image_id"]]],
        "categories": gt["categories"],
    }
    written = truth(repeated)
    direct = measure(
        written,
        detections([{**d, "image_id": copy} for d in found for copy in copies[d["image_id"]]], written),
        rules,
        np.ones((1, written.n_clusters), int),
    )
    for name in direct.keys() & weighted.keys():
        if not name.startswith("wafroc"):  # which of the two figures is used depends on the study, not on a resample
            assert same(weighted[name], direct[name]), name


@settings(max_examples=100)
@given(studies(), st.sampled_from((0.1, 0.5, 0.75)))
def test_matches_equal_those_of_pycocotools(study: Any, threshold: float) -> None:
    check_against_pycocotools(*study, threshold)


def test_matches_equal_those_of_pycocotools_in_many_random_studies() -> None:
    for seed in range(1000):
        check_against_pycocotools(*random_study(seed), (0.1, 0.5, 0.75)[seed % 3])


def coco_eval(gt: Any, found: Any, threshold: float) -> COCOeval:
    """pycocotools' evaluation at one IoU, without limits on the number and area of boxes."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {**gt, "annotations": [{**a, "area": a["bbox"][2] * a["bbox"][3]} for a in gt["annotations"]]}
        coco.createIndex()
        judged = COCOeval(coco, coco.loadRes([dict(one) for one in found]), "bbox")
        judged.params.iouThrs, judged.params.maxDets = np.array([threshold]), [10_000]
        judged.params.areaRng, judged.params.areaRngLbl = [[0, 1e10]], ["all"]
        judged.evaluate()
        judged.accumulate()
    return judged


def check_against_pycocotools(gt: Any, found: Any, threshold: float) -> None:
    if not found:
        return
    theirs = {}
    for one in filter(None, coco_eval(gt, found, threshold).evalImgs):
        for entry, matched, ignored in zip(one["dtIds"], one["dtMatches"][0], one["dtIgnore"][0], strict=True):
            theirs[entry] = IGNORED if ignored else int(matched) or FALSE_POSITIVE
    known = truth(gt)
    outcome = match(known, detections(found, known), parse_hit(f"iou:{threshold}")).outcome.tolist()
    # loadRes numbers the entries from 1
    assert theirs == {n: one if one < 0 else known.annotations[one]["id"] for n, one in enumerate(outcome, 1)}


def test_recall_of_pycocotools_on_a_large_study() -> None:
    """Recall of COCOeval at IoU 0.5 is our sensitivity at the lowest threshold."""
    rng = np.random.default_rng(5)

    def box() -> list[float]:
        return [*rng.uniform(0, 60, 2), *rng.uniform(10, 40, 2)]

    gt = dataset([image(i, i // 2) for i in range(40)], [(n % 40, box()) for n in range(70)])
    found = results(*((int(rng.integers(40)), box(), float(rng.random())) for _ in range(1500)))
    known = truth(gt)
    result = evaluate(known, detections(found, known), Rules(parse_hit("iou:0.5")))
    recall = coco_eval(gt, found, 0.5).eval["recall"].item()
    assert result["curve"]["sensitivity"][-1] == recall
    assert 0.2 < recall < 0.99
