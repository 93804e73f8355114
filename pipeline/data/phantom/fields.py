"""Random fields and profiles that tissue is made of."""

import functools
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Stroke = tuple[NDArray[np.floating], float, float]  # points (N, 2) xy in px, width in px, strength 0..1


def power_law(rng: np.random.Generator, shape: tuple[int, int], beta: float, longest: float = 0.5) -> Array:
    """Gaussian field (H, W) of mean 0 and standard deviation 1 whose power spectrum falls as f**-beta.

    longest: wavelength, as a share of the height, above which the spectrum is flat.
    """
    amplitude, width = _amplitude(shape, beta, longest)
    real, imaginary = rng.standard_normal((2, *amplitude.shape), np.float32)
    field = np.fft.irfft2(amplitude * (real + 1j * imaginary), (amplitude.shape[0], width))
    return np.asarray(field[: shape[0], : shape[1]] / field.std(), np.float32)


@functools.lru_cache(maxsize=32)
def _amplitude(shape: tuple[int, int], beta: float, longest: float) -> tuple[Array, int]:
    """Square root of the half spectrum on a grid a quarter larger, so that opposite edges do not match; the grid's width."""
    height, width = (2 * cv2.getOptimalDFTSize((side + side // 4 + 1) // 2) for side in shape)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) * shape[0]
    amplitude = np.hypot(frequency, 1 / longest) ** (-beta / 2)
    amplitude[0, 0] = 0
    return amplitude.astype(np.float32), width


def ramp(values: NDArray[np.floating], low: float, high: float) -> Array:
    """Smooth step (3t^2 - 2t^3) from 0 at `low` to 1 at `high`; falls where low > high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def logistic(values: NDArray[np.floating]) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def lines(shape: tuple[int, int], strokes: Iterable[Stroke]) -> Array:
    """Strokes on a (H, W) field, 0..1; where they cross the stronger one shows."""
    field = np.zeros(shape, np.float32)
    for points, width, strength in strokes:
        canvas = np.zeros(shape, np.uint8)
        fixed = np.rint(points * 16).astype(np.int32)
        faint = min(1.0, width)
        cv2.polylines(canvas, [fixed], False, 255, max(1, round(width)), cv2.LINE_AA, 4)
        np.maximum(field, canvas.astype(np.float32) * np.float32(strength * faint / 255), out=field)
    return field
