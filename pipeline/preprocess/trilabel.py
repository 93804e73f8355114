"""The condition of the infilling GAN: tissue with noise in the lesion, mask, margin (paper 4.1, steps 3 and 4)."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Labels = Literal["tri", "two"]
Noise = Literal["mask", "mask+margin", "none"]
CHANNELS: dict[Labels, int] = {"tri": 3, "two": 2}


def margin(mask: NDArray[np.bool_], scale: float = 296 / 256) -> NDArray[np.bool_]:
    """Ring around a mass: the mask enlarged about its centre, less the mask (paper 4.1, step 3).

    The centre is that of the mask's bounding box. A patch is the padded box, so this is also the centre of the
    patch wherever the film's edge has not clipped it.

    mask: (..., H, W) bool, any number of masks. scale: of length, 296/256 in the paper.
    Returns (..., H, W) bool of the same size; parts outside of the patch are cut off.
    Raises ValueError where a mask is empty or scale <= 1.
    """
    if scale <= 1:
        raise ValueError(f"scale {scale} leaves no margin; it must be above 1")
    masks = np.asarray(mask, bool).reshape(-1, *mask.shape[-2:])
    inside = masks.any((1, 2))
    if not inside.all():
        raise ValueError(f"mask {int(np.argmin(inside))} of {len(masks)} is empty and has no margin")
    rows, columns = _source(masks.max(2), scale), _source(masks.max(1), scale)
    enlarged = masks[np.arange(len(masks))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return (enlarged & ~masks).reshape(mask.shape)


def tri_label(
    tissue: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_],
    noise: NDArray[np.floating[Any]],
    labels: Labels = "tri",
    margin_scale: float = 296 / 256,
    noise_in: Noise = "mask",
) -> NDArray[np.float32]:
    """Stack tissue with the lesion replaced by noise, mask and, for `tri`, margin (paper 4.1, step 4).

    tissue, noise: (..., P, P) float in [0, 1], noise uniform. mask: (..., P, P) bool.
    noise_in: what is replaced. `mask`: the lesion, as in the paper, which leaves the tissue that a real lesion has drawn in
    and spiculated in sight while training; `mask+margin`: that as well; `none`: the lesion, by an even 0.5.
    Returns (..., C, P, P) float32 in [0, 1], C = 3 for `tri` and 2 for `two`.
    Raises ValueError for other labels, unequal shapes, an empty mask, margin_scale <= 1, and where a two-channel condition
    would show the margin as noise.
    """
    if labels not in CHANNELS:
        raise ValueError(f"labels {labels!r} unknown; choose {' or '.join(CHANNELS)}")
    if labels == "two" and noise_in == "mask+margin":
        raise ValueError("labels two leaves the margin out: noise over mask+margin would show it; use noise mask or labels tri")
    if not tissue.shape == mask.shape == noise.shape:
        raise ValueError(f"shapes differ: tissue {tissue.shape}, mask {mask.shape}, noise {noise.shape}")
    mask = np.asarray(mask, bool)
    rings = [margin(mask, margin_scale)] if labels == "tri" else []
    hole = mask | rings[0] if noise_in == "mask+margin" else mask
    channels = [np.where(hole, np.float32(0.5) if noise_in == "none" else noise, tissue), mask, *rings]
    return np.stack(channels, -3, dtype=np.float32, casting="same_kind")


def _source(occupied: NDArray[np.bool_], scale: float) -> NDArray[np.intp]:
    """Index of the pixel that each of L pixels comes from when a line is enlarged about the centre of its occupied part.

    occupied: (N, L) bool, a True in every line. Returns (N, L). The centre lies in the line, so no index leaves it.
    """
    length = occupied.shape[1]
    first, end = occupied.argmax(1), length - occupied[:, ::-1].argmax(1)
    centre = ((first + end) / 2)[:, None]
    return np.floor(centre + (np.arange(length) + 0.5 - centre) / scale).astype(np.intp)
