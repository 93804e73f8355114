"""Memorisation: is a generated mass the mass of a training patch again?"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.coco import bounding_box
from pipeline.evaluation.similarity import Lpips
from pipeline.gan.patches import turn
from pipeline.preprocess.geometry import resize
from pipeline.realism.sets import Set

LEVEL = 0.05  # of held-out masses are as near to a training mass as this, by chance
GREY, SPREAD = 0.5, 0.15  # mean and standard deviation of every mass when it is compared


def alone(patches: Set) -> NDArray[np.float32]:
    """(N, P, P) the masses alone: the mask's box scaled to the patch, its mean around the mask, greys of equal mean and spread.

    So neither the tissue around counts, which is the host's whoever painted the mass, nor place, size, level and contrast,
    which insertion changes.
    """
    side = patches.images.shape[-1]
    found = np.empty_like(patches.images)
    for k, (image, mask) in enumerate(zip(patches.images, patches.masks, strict=True)):
        x, y, w, h = bounding_box(mask)
        part, inside = image[y : y + h, x : x + w], mask[y : y + h, x : x + w]
        scaled = resize(np.where(inside, part, part[inside].mean()).astype(np.float32), (side, side))
        spread = max(float(part[inside].std()), 1e-4)
        found[k] = np.clip(GREY + SPREAD * (scaled - part[inside].mean()) / spread, 0, 1)
    return found


def nearest(lpips: Lpips, patches: Set, training: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Index of the most similar of the `training` masses (M, P, P; from `alone`), and its LPIPS, over the eight turns of each patch."""
    images = alone(patches)
    found = [lpips.nearest(np.stack([turn(image, way) for image in images]), training) for way in range(8)]
    where, distance = (np.stack(part) for part in zip(*found, strict=True))
    best = distance.argmin(0), np.arange(len(images))
    return where[best], distance[best]


def share(distances: NDArray[np.float64], held_out: NDArray[np.float64]) -> dict[str, Any]:
    """How many lie nearer to a training mass than the nearest `LEVEL` of held-out real masses do.

    `LEVEL` is expected of a generator that copies nothing, 1 of one that copies. `flagged` lists them, nearest first.
    """
    threshold = float(np.quantile(held_out, LEVEL))
    order = np.argsort(distances, kind="stable")
    return {
        "share": float((distances < threshold).mean()),
        "threshold": threshold,
        "median": float(np.median(distances)),
        "median_held_out": float(np.median(held_out)),
        "n": [len(distances), len(held_out)],
        "flagged": [int(index) for index in order if distances[index] < threshold],
    }
