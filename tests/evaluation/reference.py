"""An evaluator written a second time, as plainly as possible, to check the fast one: loops, one threshold at a time."""

import itertools
import math
from typing import Any


def iou(a: list[float], b: list[float], crowd: bool = False) -> float:
    left, right = max(a[0], b[0]), min(a[0] + a[2], b[0] + b[2])
    top, bottom = max(a[1], b[1]), min(a[1] + a[3], b[1] + b[3])
    if right <= left or bottom <= top:
        return 0.0
    inside = (right - left) * (bottom - top)
    return inside / (a[2] * a[3] if crowd else a[2] * a[3] + b[2] * b[3] - inside)


def counted_images(gt: dict[str, Any], images: str) -> list[Any]:
    """Images with a lesion, normal ones (nothing outlined, not even to be ignored), or all."""
    sick, outlined = ({a["image_id"] for a in gt["annotations"] if not (only and a["iscrowd"])} for only in (True, False))
    chosen = {"all": lambda i: True, "lesion": lambda i: i in sick, "normal": lambda i: i not in outlined}[images]
    return [i["id"] for i in gt["images"] if chosen(i["id"])]


def quality(box: list[float], target: list[float], hit: str, spacing: float, crowd: bool = False) -> float | None:
    """How well a box matches a target, None where it does not."""
    kind, _, limit = hit.partition(":")
    if kind == "iou":
        value = iou(box, target, crowd)
        return value if value >= float(limit) else None
    cx, cy = box[0] + box[2] / 2, box[1] + box[3] / 2
    apart = math.hypot(cx - target[0] - target[2] / 2, cy - target[1] - target[3] / 2)
    inside = target[0] <= cx <= target[0] + target[2] and target[1] <= cy <= target[1] + target[3]
    good = inside if kind == "centre" or crowd else apart * spacing <= float(limit)
    return -apart if good else None


def at_threshold(
    gt: dict[str, Any], results: list[dict[str, Any]], threshold: float, hit: str, duplicates: str
) -> tuple[set[int], list[Any]]:
    """Ids of the lesions found and image ids of the false positives, of the boxes with score >= threshold."""
    found: set[int] = set()
    false: list[Any] = []
    for image in gt["images"]:
        here = [a for a in gt["annotations"] if a["image_id"] == image["id"]]
        boxes = [d for d in results if d["image_id"] == image["id"] and d["score"] >= threshold]
        for box in sorted(boxes, key=lambda d: -d["score"]):
            best, best_quality, touched, ignored = None, -math.inf, False, False
            for target in here:
                crowd = bool(target["iscrowd"])
                value = quality(box["bbox"], target["bbox"], hit, image.get("spacing_mm") or math.nan, crowd)
                if value is None:
                    continue
                if crowd:
                    ignored = True
                    continue
                touched = True
                if target["id"] not in found and value >= best_quality:
                    best, best_quality = target["id"], value
            if best is not None:
                found.add(best)
            elif not ignored and not (touched and duplicates == "ignore"):
                false.append(image["id"])
    return found, false


def evaluate(
    gt: dict[str, Any],
    results: list[dict[str, Any]],
    hit: str = "iou:0.5",
    duplicates: str = "fp",
    images: str = "all",
    unit: str = "image",
) -> list[tuple[float, float, float]]:
    """(fp_per_image, sensitivity, threshold) of every distinct score, thresholds descending."""
    lesions = [a for a in gt["annotations"] if not a["iscrowd"]]
    counted = counted_images(gt, images)
    by_id = {i["id"]: i for i in gt["images"]}

    def unit_of(lesion: dict[str, Any]) -> Any:
        image = by_id[lesion["image_id"]]
        return {"image": lesion["id"], "breast": (image["patient_id"], image["laterality"]), "patient": image["patient_id"]}[unit]

    units = {unit_of(a) for a in lesions}
    points = []
    for threshold in sorted({d["score"] for d in results}, reverse=True):
        found, false = at_threshold(gt, results, threshold, hit, duplicates)
        hits = {unit_of(a) for a in lesions if a["id"] in found}
        n_false = sum(image in counted for image in false)
        points.append((n_false / len(counted) if counted else math.nan, len(hits) / len(units) if units else math.nan, threshold))
    return points


def sensitivity_at(points: list[tuple[float, float, float]], x: float) -> float:
    return max([0.0] + [sensitivity for fp, sensitivity, _ in points if fp <= x])


def area(points: list[tuple[float, float, float]], limit: float) -> float:
    """Area under the step curve from 0 to limit, one stretch between two FPPI after the other."""
    stops = sorted({0.0, limit} | {fp for fp, _, _ in points if fp < limit})
    return sum((b - a) * sensitivity_at(points, a) for a, b in itertools.pairwise(stops))


def wafroc(gt: dict[str, Any], results: list[dict[str, Any]], hit: str = "iou:0.5") -> float:
    """Every pair of an image for false positives and a lesion, as the figure of merit is defined."""
    lesions = [a for a in gt["annotations"] if not a["iscrowd"]]
    sick = {a["image_id"] for a in lesions}
    cases = counted_images(gt, "normal") or sorted(sick)
    thresholds = sorted({d["score"] for d in results}, reverse=True)
    steps = [(t, *at_threshold(gt, results, t, hit, "fp")) for t in thresholds]

    def lesion_rating(lesion: dict[str, Any]) -> float:
        return next((t for t, found, _ in steps if lesion["id"] in found), -math.inf)

    def case_rating(image: Any) -> float:
        return next((t for t, _, false in steps if image in false), -math.inf)

    total = 0.0
    for lesion in lesions:
        weight = 1 / sum(a["image_id"] == lesion["image_id"] for a in lesions)
        for image in cases:
            y, x = lesion_rating(lesion), case_rating(image)
            total += weight * (1.0 if y > x else 0.5 if y == x else 0.0)
    return total / (len(sick) * len(cases))
