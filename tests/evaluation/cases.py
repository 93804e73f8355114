"""Small studies: by hand, and drawn by hypothesis."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

settings.register_profile("evaluation", derandomize=True, deadline=None, database=None)
settings.load_profile("evaluation")


def image(number: int, patient: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": number, "patient_id": patient, **more}


def dataset(
    images: list[dict[str, Any]], lesions: list[tuple[int, list[float]]], regions: Sequence[tuple[int, list[float]]] = ()
) -> dict[str, Any]:
    """COCO ground truth; lesions and regions (to ignore) are (image id, xywh)."""
    every = [(*one, 0) for one in lesions] + [(*one, 1) for one in regions]
    annotations = [{"id": n, "image_id": i, "category_id": 1, "bbox": box, "iscrowd": crowd} for n, (i, box, crowd) in enumerate(every, 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "mass"}]}


def results(*found: tuple[int, list[float], float]) -> list[dict[str, Any]]:
    """COCO results from (image id, xywh, score)."""
    return [{"image_id": i, "category_id": 1, "bbox": box, "score": score} for i, box, score in found]


@st.composite
def boxes(draw: st.DrawFn, smallest: int = 1) -> list[float]:
    """A small grid, so that boxes overlap, coincide and tie often."""
    x, y = draw(st.integers(0, 8)), draw(st.integers(0, 8))
    return [float(x), float(y), float(draw(st.integers(smallest, 6))), float(draw(st.integers(smallest, 6)))]


@st.composite
def studies(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Up to 5 images of up to 3 patients, 0 to 5 lesions, 0 to 2 ignored regions, up to 12 boxes with few distinct scores."""
    n = draw(st.integers(1, 5))
    images = [
        image(
            10 * i + 3, draw(st.sampled_from("abc")), laterality=draw(st.sampled_from("LR")), spacing_mm=draw(st.sampled_from([0.5, 1.0]))
        )
        for i in range(n)
    ]
    ids = st.sampled_from([one["id"] for one in images])
    lesions = draw(st.lists(st.tuples(ids, boxes()), max_size=5))
    regions = draw(st.lists(st.tuples(ids, boxes()), max_size=2))
    gt = dataset(images, lesions, regions)
    # half of the boxes start from a lesion, else hits would be rare
    targets = st.sampled_from([(a["image_id"], a["bbox"]) for a in gt["annotations"]]) if gt["annotations"] else st.tuples(ids, boxes())
    found = draw(st.lists(st.tuples(st.one_of(targets, st.tuples(ids, boxes(0))), st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])), max_size=12))
    return gt, results(*((i, box, score) for (i, box), score in found))


def random_study(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same kind of study drawn by NumPy: a tenth of the time, for thousands of cases."""
    rng = np.random.default_rng(seed)

    def box(smallest: int = 1) -> list[float]:
        return [*map(float, rng.integers(0, 9, 2)), *map(float, rng.integers(smallest, 7, 2))]

    images = [
        image(10 * i + 3, str(rng.choice(list("abc"))), laterality=str(rng.choice(["L", "R"])), spacing_mm=float(rng.choice([0.5, 1.0])))
        for i in range(rng.integers(1, 6))
    ]
    ids = [one["id"] for one in images]
    gt = dataset(
        images, *([(int(rng.choice(ids)), box()) for _ in range(rng.integers(0, most))] for most in (6, 3)),
    )  # fmt: skip
    found = []
    for _ in range(rng.integers(0, 13)):
        near = bool(gt["annotations"]) and rng.random() < 0.5
        target = gt["annotations"][rng.integers(len(gt["annotations"]))] if near else {"image_id": int(rng.choice(ids)), "bbox": box(0)}
        moved = [target["bbox"][0] + int(near and rng.integers(0, 2)), *target["bbox"][1:]]
        found.append((target["image_id"], moved, float(rng.choice([0.1, 0.3, 0.5, 0.7, 0.9]))))
    return gt, results(*found)
