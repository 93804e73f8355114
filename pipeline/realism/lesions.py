"""What a mass looks like in numbers: size, contrast, edge, texture and outline, and how two sets of masses differ in them."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.realism.sets import Set

LEVELS = 32  # grey levels of the co-occurrence matrix
DEFINITIONS = {
    "area_mm2": "area of the mask in square millimetres",
    "contrast": "mean of the mass less mean of a ring around it, half as wide as a disc of its area, in units of the grey range",
    "sharpness": "mean slope of the greys across the outline (Gaussian derivative, 1 px of the patch), outwards falling, grey range per px",
    "glcm_contrast": f"contrast of the grey-level co-occurrence matrix of the mass (Haralick et al. 1973): {LEVELS} levels from its "
    "least to its largest grey, neighbours in four directions",
    "glcm_homogeneity": "homogeneity of the same matrix",
    "glcm_correlation": "correlation of the same matrix",
    "circularity": "4 pi area / perimeter^2 of the outline: 1 for a disc",
    "solidity": "area as a share of that of the convex hull",
}


def statistics(patches: Set) -> dict[str, NDArray[np.float64]]:
    """(N,) of each key of `DEFINITIONS`. Patches without a mask are an error (ValueError)."""
    rows = [_one(image, mask, area) for image, mask, area in zip(patches.images, patches.masks, patches.mm2, strict=True)]
    return {key: np.array([row[key] for row in rows]) for key in DEFINITIONS}


def compare(real: dict[str, NDArray[np.float64]], other: dict[str, NDArray[np.float64]]) -> dict[str, dict[str, Any]]:
    """Of each statistic: quartiles of both, and ks, the largest difference of their distribution functions (0 equal, 1 apart)."""
    from scipy.stats import ks_2samp

    return {
        key: {
            "real": [float(q) for q in np.quantile(real[key], [0.25, 0.5, 0.75])],
            "other": [float(q) for q in np.quantile(other[key], [0.25, 0.5, 0.75])],
            "ks": float(ks_2samp(real[key], other[key]).statistic),
            "n": [len(real[key]), len(other[key])],
        }
        for key in real
    }


def _one(image: NDArray[np.float32], mask: NDArray[np.bool_], mm2: float) -> dict[str, float]:
    if not mask.any():
        raise ValueError("a patch without a mass has no statistics")
    away = ndimage.distance_transform_edt(~mask)
    ring = (away > 0) & (away <= max(1.0, np.sqrt(mask.sum() / np.pi) / 2))
    return {
        "area_mm2": float(mask.mean() * mm2),
        "contrast": float(image[mask].mean() - image[ring].mean()) if ring.any() else 0.0,
        "sharpness": _sharpness(image, mask),
        **_texture(image, mask),
        **_outline(mask),
    }


def _sharpness(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)  # rises inwards
    inwards = np.stack(np.gradient(ndimage.gaussian_filter(depth, 1.0)))
    slope = np.stack([ndimage.gaussian_filter(image.astype(np.float64), 1.0, order=order) for order in ((1, 0), (0, 1))])
    across = (slope * inwards).sum(0) / np.maximum(np.linalg.norm(inwards, axis=0), 1e-9)
    return float(across[np.abs(depth) <= 1].mean())


def _texture(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> dict[str, float]:
    from skimage.feature import graycomatrix, graycoprops

    low, high = float(image[mask].min()), float(image[mask].max())
    levels = np.clip((image - low) / max(high - low, 1e-6) * LEVELS, 0, LEVELS - 1).astype(np.uint8) + 1
    matrix = graycomatrix(np.where(mask, levels, 0), [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], LEVELS + 1, symmetric=True)
    within = matrix[1:, 1:].sum(3, keepdims=True).astype(np.float64)  # level 0 is what lies outside
    within /= max(within.sum(), 1)
    return {f"glcm_{name}": float(graycoprops(within, name)[0, 0]) for name in ("contrast", "homogeneity", "correlation")}


def _outline(mask: NDArray[np.bool_]) -> dict[str, float]:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outer = max(outlines, key=cv2.contourArea)
    area, perimeter, hull = cv2.contourArea(outer), cv2.arcLength(outer, True), cv2.contourArea(cv2.convexHull(outer))
    return {"circularity": 4 * np.pi * area / perimeter**2 if perimeter else 1.0, "solidity": area / hull if hull else 1.0}
