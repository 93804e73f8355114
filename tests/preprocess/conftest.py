import cv2
import numpy as np
import pytest


def draw(
    height: int = 400, width: int = 260, flipped: bool = False, seed: int = 0, texture: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A drawn MLO view, uint8: noisy dark film, half an ellipse of breast, a bright muscle; with the true breast and muscle.

    texture: standard deviation of smooth tissue, another for each seed.
    """
    y, x = np.indices((height, width)) + 0.5
    breast = ((y - 0.5 * height) / (0.45 * height)) ** 2 + (x / (0.75 * width)) ** 2 < 1
    breast |= (x < 0.5 * width) & (y < 0.5 * height)
    muscle = x / (0.4 * width) + y / (0.5 * height) < 1
    noise = np.random.default_rng(seed).normal(0, 2, breast.shape)
    tissue = cv2.GaussianBlur(np.random.default_rng([seed, 1]).normal(0, 1, breast.shape), (0, 0), 12)
    image = np.clip(8 + (110 + texture * tissue / tissue.std()) * breast + 70 * muscle + noise, 0, 255).astype(np.uint8)
    return tuple(np.ascontiguousarray(a[:, ::-1] if flipped else a) for a in (image, breast, muscle))


@pytest.fixture
def drawn():
    return draw
