"""How a patch meets its host. Pixels that are not free stay identical to the bit.

A blend takes the host's part and the patch (h, w; float in [0, 1]), the patch's weight alpha (h, w; [0, 1]) and the
pixels that are free to change (h, w; bool), all of the frame's visible part; it returns the new part.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Unit = NDArray[np.float32]
Bool = NDArray[np.bool_]


def paste(host: Unit, patch: Unit, alpha: Unit, free: Bool) -> Unit:
    """The whole patch replaces the tissue (the paper)."""
    return patch


def feather(host: Unit, patch: Unit, alpha: Unit, free: Bool) -> Unit:
    """host (1 - alpha) + patch alpha."""
    return np.asarray(host * (1 - alpha) + patch * alpha, np.float32)


def poisson(host: Unit, patch: Unit, alpha: Unit, free: Bool) -> Unit:
    """The patch's gradients with the host's values around the free pixels (Perez et al. 2003, eq. 7 to 9).

    Solved exactly in floating point (cv2.seamlessClone works on 8 bit only). Pixels beyond the part's edge do not count.
    Where all pixels are free there is no value around them, and the equations leave the level open: the host's mean is taken.
    (Any other free region touches a pixel that is not free, so its equations have one solution.)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    if free.all():
        return np.asarray(patch + (host.mean(dtype=np.float64) - patch.mean(dtype=np.float64)), np.float32)
    if not free.any():
        return host
    number = np.full(free.shape, -1)
    number[free] = np.arange(free.sum())
    rows, columns, values = [], [], []
    right = np.zeros(int(free.sum()))
    degree = np.zeros(int(free.sum()))
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = np.nonzero(free)
        inside = (y + dy >= 0) & (y + dy < free.shape[0]) & (x + dx >= 0) & (x + dx < free.shape[1])
        y, x = y[inside], x[inside]
        here, there = number[y, x], number[y + dy, x + dx]
        degree[here] += 1
        right[here] += patch[y, x].astype(float) - patch[y + dy, x + dx]
        known = there < 0
        np.add.at(right, here[known], host[y + dy, x + dx][known].astype(float))
        rows.append(here[~known])
        columns.append(there[~known])
        values.append(-np.ones((~known).sum()))
    everything = np.arange(len(degree))
    system = coo_array(
        (np.concatenate([*values, degree]), (np.concatenate([*rows, everything]), np.concatenate([*columns, everything]))),
        shape=(len(degree), len(degree)),
    ).tocsc()
    result = host.copy()
    result[free] = spsolve(system, right)
    return result


BLENDS: dict[str, Callable[[Unit, Unit, Unit, Bool], Unit]] = {"paste": paste, "feather": feather, "mask": feather, "poisson": poisson}


def feather_alpha(core: Bool) -> Unit:
    """(h, w) float32: 1 on the core (mass and margin), 0 at the frame's border, smooth between.

    With the distances a to the core and b to the border, t = b / (a + b), and alpha is the smoothstep 3t^2 - 2t^3.
    """
    border = np.zeros((core.shape[0] + 2, core.shape[1] + 2), np.uint8)
    border[1:-1, 1:-1] = 1
    to_border = cv2.distanceTransform(border, cv2.DIST_L2, 5)[1:-1, 1:-1] - 1
    to_core = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) if core.any() else np.full(core.shape, np.inf, np.float32)
    t = np.where(core, 1, np.maximum(to_border, 0) / np.maximum(to_border + to_core, 1e-6)).astype(np.float32)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def soft_alpha(mask: Bool) -> Unit:
    """(h, w) float32: 1 on the mask, falling to 0 within about three px around it."""
    blurred = np.where(mask, 1, cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0))
    return np.where(blurred > 0.01, blurred, 0).astype(np.float32)


def insert(host: NDArray[Any], new: Unit, free: Bool, frame: tuple[slice, slice]) -> NDArray[Any]:
    """A copy of the host (H, W) of 8 or 16 bit with `new` (h, w; [0, 1]) in its frame where `free`; the rest keeps its bits."""
    top = np.iinfo(host.dtype).max
    result = host.copy()
    result[frame] = np.where(free, np.rint(np.clip(new.astype(np.float64), 0, 1) * top), host[frame]).astype(host.dtype)
    return result
