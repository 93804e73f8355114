"""Numbers that say whether a set of mammograms is hard in the way real ones are.

All are measured on images resampled to one height, inside of the breast, and mean the same for phantoms and for films.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
LOG_SCALES = 1.25 ** np.arange(8)


@dataclass(frozen=True)
class Blobs:
    """Blob detections of one image. boxes: (N, 4) xyxy; scores: (N,), high first."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


def breast_region(image: Array, threshold: float = 0.12) -> Mask:
    """(H, W) bool: the largest component above `threshold` of the image's range [0, 1] after opening.

    A margin of 3 % of the height on all sides, where films have their white edges, is left out.
    """
    margin = max(1, round(0.03 * image.shape[0]))
    inner = np.zeros(image.shape, bool)
    inner[margin:-margin, margin:-margin] = image[margin:-margin, margin:-margin] > threshold
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    opened = cv2.morphologyEx(inner.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    if n < 2:
        return np.zeros(image.shape, bool)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def contrast_to_noise(image: Array, mask: Mask, breast: Mask) -> float:
    """(mean of the mass - mean of the ring) / standard deviation of the ring.

    The ring is the part of the breast outside of the mask within half of the mass's diameter (that of a disc of
    its area). NaN where the ring holds fewer than 10 px.
    """
    reach = np.sqrt(mask.sum() / np.pi)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    ring = breast & (distance > 1) & (distance <= max(reach, 3))
    if ring.sum() < 10:
        return float("nan")
    return float((image[mask].mean() - image[ring].mean()) / max(float(image[ring].std()), 1e-6))


def spectral_exponent(image: Array, breast: Mask, side: int = 64) -> float:
    """beta of a power spectrum f**-beta, fitted over windows (Hann) of `side` px that lie in the breast; NaN without any.

    Fitted from 2 cycles a window to an eighth of a cycle a px, where noise and the system's blur do not count yet.
    """
    window = np.outer(np.hanning(side), np.hanning(side))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]) * side
    bins = np.rint(frequency).astype(int)
    power = []
    for y in range(0, image.shape[0] - side + 1, side // 4):
        for x in range(0, image.shape[1] - side + 1, side // 4):
            tile = slice(y, y + side), slice(x, x + side)
            if breast[tile].all():
                part = (image[tile] - image[tile].mean()) * window
                power.append(np.bincount(bins.ravel(), (np.abs(np.fft.fft2(part)) ** 2).ravel()) / np.bincount(bins.ravel()))
    if not power:
        return float("nan")
    used = np.arange(2, side // 8 + 1)
    return float(-np.polyfit(np.log(used), np.log(np.mean(power, 0)[used]), 1)[0])


def log_blobs(image: Array, breast: Mask, smallest: float, limit: int = 50) -> Blobs:
    """Bright blobs: maxima over place and scale of the scale-normalised Laplacian of Gaussian (Lindeberg, Int J Comput Vis 30, 1998).

    smallest: diameter in px of the smallest blob. A disc of radius r answers most at sigma = r / sqrt(2). Outside of
    the breast the image is continued by its local mean, so that the skin is no edge.
    """
    filled = _continued(image, breast)
    sigmas = smallest / 2 / np.sqrt(2) * LOG_SCALES
    stack = np.stack([-(s**2) * cv2.Laplacian(cv2.GaussianBlur(filled, (0, 0), s), cv2.CV_32F) for s in sigmas])
    peak = np.stack([cv2.dilate(level, np.ones((3, 3))) for level in stack])
    neighbour = np.maximum(np.concatenate([peak[1:], peak[-1:]]), np.concatenate([peak[:1], peak[:-1]]))
    at = (stack >= np.maximum(peak, neighbour)) & (stack > 0) & breast
    level, y, x = np.nonzero(at)
    order = np.argsort(-stack[at], kind="stable")
    level, y, x, scores = level[order], y[order], x[order], stack[at][order]
    radius = sigmas[level] * np.sqrt(2)
    kept: list[int] = []
    for i in range(len(scores)):
        if len(kept) == limit:
            break
        if all(np.hypot(x[i] - x[k], y[i] - y[k]) > max(radius[i], radius[k]) for k in kept):
            kept.append(i)
    boxes = np.stack([x - radius, y - radius, x + radius, y + radius], -1)[kept] + [[0, 0, 1, 1]]
    return Blobs(boxes.reshape(-1, 4), scores[kept].astype(float))


def sensitivity_at(detections: list[Blobs], truths: list[NDArray[np.float64]], fp_per_image: float, iou: float | None) -> float:
    """Share of lesions found where the threshold leaves `fp_per_image` false positives an image.

    truths: (M, 4) xyxy boxes of each image. iou: overlap that makes a hit; None: the detection's centre lies in the box.
    A lesion is found once; further hits on it are neither true nor false.
    """
    events: list[tuple[float, int, int]] = []
    for number, (found, boxes) in enumerate(zip(detections, truths, strict=True)):
        for box, score in zip(found.boxes, found.scores, strict=True):
            hits = np.flatnonzero(_hits(box, boxes, iou))
            events.extend((-score, number, int(lesion)) for lesion in (hits if hits.size else [-1]))
    allowed, false, seen = fp_per_image * len(truths), 0, set()
    for _, number, lesion in sorted(events):
        false += lesion < 0
        if false > allowed:
            break
        seen |= {(number, lesion)} if lesion >= 0 else set()
    total = sum(map(len, truths))
    return len(seen) / total if total else float("nan")


def _hits(box: NDArray[Any], boxes: NDArray[Any], iou: float | None) -> Mask:
    if iou is None:
        centre = (box[:2] + box[2:]) / 2
        return np.asarray(((centre >= boxes[:, :2]) & (centre <= boxes[:, 2:])).all(1))
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    both = np.clip(sides, 0, None).prod(1)
    return np.asarray(both / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - both) >= iou)


def _continued(image: Array, breast: Mask) -> Array:
    """The image inside of the breast, outside a wide local mean of the inside."""
    sigma = image.shape[0] / 30
    weight = cv2.GaussianBlur(breast.astype(np.float32), (0, 0), sigma)
    mean = cv2.GaussianBlur(np.where(breast, image, 0).astype(np.float32), (0, 0), sigma) / np.maximum(weight, 1e-3)
    return np.where(breast, image, mean).astype(np.float32)
