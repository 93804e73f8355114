"""Where masses and their benign look-alikes lie in a breast."""

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.anatomy import Anatomy
from pipeline.data.phantom.fields import Array
from pipeline.data.phantom.film import Frame
from pipeline.data.phantom.masses import Mass, insert, new_mass, new_size

EDGE_MM = 5.0


def place(rng: np.random.Generator, anatomy: Anatomy, frame: Frame, depth: float, upper: bool) -> tuple[float, float]:
    """Centre (x, y) in px of a mass: likelier in gland, near `depth`, mostly in the half of the breast that `upper` names.

    depth: distance from the chest wall as a share of the nipple's; the same in both views of a mass, as is `upper`.
    """
    height, width = anatomy.breast.shape
    y, x = np.mgrid[:height, :width] + 0.5
    nipple_x, nipple_y = anatomy.nipple
    from_wall = np.abs(x - (0 if anatomy.wall_left else width)) / (nipple_x if anatomy.wall_left else width - nipple_x)
    edge = max(2, round(EDGE_MM * height / cal.FILM_HEIGHT_MM))
    weight = (cal.IN_FAT + anatomy.gland) * np.exp(-0.5 * np.square((from_wall - depth) / 0.12))
    weight *= np.where((y < nipple_y) == upper, 1.0, 0.25)
    weight *= (anatomy.thickness > 0.7) * (1 - 0.9 * anatomy.muscle)
    inside = np.zeros(weight.shape, bool)
    inside[frame.top + edge : frame.bottom - edge, frame.left + edge : frame.right - edge] = True
    return _draw(rng, weight * inside)


def add_distractors(rng: np.random.Generator, tissue: Array, anatomy: Anatomy, view: str, spacing_mm: float) -> None:
    """Cysts, asymmetries of the gland, lymph nodes and coarse calcifications, none of them labelled, in place."""
    inside = (anatomy.thickness > 0.5) * (0.3 + anatomy.gland) * (1 - 0.95 * anatomy.muscle)
    for _ in range(rng.poisson(cal.CYSTS)):
        insert(tissue, _benign(rng, inside, tissue.shape[0], "oval", "circumscribed"), spacing_mm)
    for _ in range(rng.poisson(cal.ASYMMETRIES)):
        insert(tissue, _benign(rng, inside, tissue.shape[0], "lobulated", "ill_defined"), spacing_mm, 1.0)
    axilla = (anatomy.thickness > 0.5) * (0.02 + anatomy.muscle) * (np.arange(tissue.shape[0]) < 0.45 * tissue.shape[0])[:, None]
    for _ in range(rng.poisson(cal.NODES[view])):
        node = _benign(rng, axilla, tissue.shape[0], "oval", "circumscribed")
        insert(tissue, node, spacing_mm)
        hilum = dataclasses.replace(node, x=node.x + 0.2 * node.width, width=0.45 * node.width, height=0.45 * node.height)
        insert(tissue, hilum, spacing_mm, 0.1)
    for _ in range(rng.poisson(cal.CALCIFICATIONS)):
        x, y = _draw(rng, inside)
        cv2.circle(tissue, (int(x), int(y)), max(0, round(rng.uniform(0.2, 0.9) / spacing_mm)), float(rng.uniform(1.1, 2.0)), -1)


def _benign(rng: np.random.Generator, weight: NDArray[np.float64], image_height: int, shape: str, margins: str) -> Mass:
    mass = new_mass(rng, *_draw(rng, weight), *new_size(rng, image_height))
    return dataclasses.replace(mass, shape=shape, margins=margins, fraction=mass.fraction * cal.DISTRACTOR_CONTRAST)


def _draw(rng: np.random.Generator, weight: NDArray[np.float64]) -> tuple[float, float]:
    """A pixel's centre (x, y), drawn with probability proportional to `weight` (H, W), which must not be all zero."""
    total = np.cumsum(weight, dtype=np.float64)
    at = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    row, column = divmod(min(at, weight.size - 1), weight.shape[1])
    return column + 0.5, row + 0.5
