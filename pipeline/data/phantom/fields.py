"""Random fields and profiles that tissue is made of."""

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def power_law(rng: np.random.Generator, shape: tuple[int, int], beta: float, longest: float = 0.5) -> Array:
    """Gaussian field (H, W) of mean 0 and standard deviation 1 whose power spectrum falls as f**-beta.

    longest: wavelength, as a share of the height, above which the spectrum is flat.
    """
    height, width = (cv2.getOptimalDFTSize(side + side // 4) for side in shape)
    noise = rng.standard_normal((height, width), np.float32)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) * shape[0]
    spectrum = np.fft.rfft2(noise) * np.hypot(frequency, 1 / longest) ** (-beta / 2)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (height, width))
    return np.asarray(field[: shape[0], : shape[1]] / field.std(), np.float32)


def ramp(values: Array, low: float, high: float) -> Array:
    """Smooth step (3t^2 - 2t^3) from 0 at `low` to 1 at `high`; falls where low > high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def logistic(values: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def lines(shape: tuple[int, int], strokes: list[tuple[NDArray[np.floating], float, float]]) -> Array:
    """Strokes as (points (N, 2) xy in px, width in px, strength 0..1) on a (H, W) field; crossings keep the stronger one."""
    field = np.zeros(shape, np.float32)
    for points, width, strength in strokes:
        canvas = np.zeros(shape, np.uint8)
        fixed = np.rint(points * 16).astype(np.int32)
        faint = min(1.0, width)
        cv2.polylines(canvas, [fixed], False, 255, max(1, round(width)), cv2.LINE_AA, 4)
        np.maximum(field, canvas.astype(np.float32) * np.float32(strength * faint / 255), out=field)
    return field
