"""Memorisation: is a generated mass the mass of a training patch again?"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.evaluation.similarity import Lpips
from pipeline.gan.patches import turn
from pipeline.realism.sets import Set

LEVEL = 0.05  # of held-out masses are as near to a training mass as this, by chance
GREY, RING = 0.5, 0.06  # what hides the tissue around; width of what is left of it, as a share of the patch


def alone(patches: Set) -> NDArray[np.float32]:
    """(N, P, P) the masses with a narrow ring, the tissue around hidden: it is the host's, whoever painted the mass."""
    width = RING * patches.images.shape[-1]
    near = np.stack([ndimage.distance_transform_edt(~mask) <= width for mask in patches.masks])
    return np.where(near, patches.images, np.float32(GREY))


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
