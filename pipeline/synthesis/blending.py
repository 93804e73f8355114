"""How a patch meets its host. The host outside the frame, and wherever alpha is 0, stays identical to the bit."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def paste_alpha(core: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(h, w) ones: the whole patch replaces the tissue (the paper)."""
    return np.ones(core.shape, np.float32)


def feather_alpha(core: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(h, w) float32: 1 on the core (mass and margin), 0 at the frame's border, smooth between.

    With the distances a to the core and b to the border, t = b / (a + b), and alpha is the smoothstep 3t^2 - 2t^3.
    """
    border = np.zeros((core.shape[0] + 2, core.shape[1] + 2), np.uint8)
    border[1:-1, 1:-1] = 1
    to_border = cv2.distanceTransform(border, cv2.DIST_L2, 5)[1:-1, 1:-1] - 1
    to_core = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) if core.any() else np.full(core.shape, np.inf, np.float32)
    t = np.where(core, 1, np.maximum(to_border, 0) / np.maximum(to_border + to_core, 1e-6)).astype(np.float32)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


ALPHAS: dict[str, Callable[[NDArray[np.bool_]], NDArray[np.float32]]] = {"paste": paste_alpha, "feather": feather_alpha}


def blend(host: NDArray[Any], patch: NDArray[np.float32], alpha: NDArray[np.float32], frame: tuple[slice, slice]) -> NDArray[Any]:
    """A copy of the host with the patch in its frame: host (1 - alpha) + patch alpha, rounded to the host's depth.

    host: (H, W) uint8 or uint16; patch, alpha: (h, w) in [0, 1], the size of the frame (rows, columns).
    """
    top = np.iinfo(host.dtype).max
    mixed = host[frame] * (1.0 - alpha.astype(np.float64)) + np.clip(patch, 0, 1) * top * alpha.astype(np.float64)
    result = host.copy()
    result[frame] = np.where(alpha > 0, np.rint(mixed), host[frame]).astype(host.dtype)
    return result
