"""A picture to explain models on when none is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 96


def synthetic_picture(size: int = SIZE) -> NDArray[np.float64]:
    """Return a picture (size, size) in 0 … 1: a disc, a zone plate, bars that get finer, and a ramp, a quarter each.

    Together they have edges of every direction, waves of every direction and frequency, and smooth parts.
    """
    half = size // 2
    # Pixel centres from −1 to 1.
    steps = (np.arange(half) + 0.5) / half * 2 - 1
    y, x = steps[:, None], steps[None, :]
    picture = np.empty((2 * half, 2 * half))
    # A disc, a pixel wide from dark to light, as a camera would have it.
    edge = np.clip((0.7 - np.hypot(y, x)) * half / 2 + 0.5, 0, 1)
    picture[:half, :half] = 0.15 + 0.7 * edge
    # A zone plate: half of the sampling frequency is reached at the corners.
    picture[:half, half:] = 0.5 + 0.4 * np.cos(np.pi * half / 4 * (y * y + x * x) / 2**0.5)
    # Bars.
    waves = np.sin(np.pi * half / 12 * (x + 1.2) ** 2)
    picture[half:, :half] = 0.5 + 0.35 * np.sign(waves) * (np.abs(y) < 0.75)
    # A ramp with a step.
    step = (x + 2 * y > 0.4).astype(float)
    picture[half:, half:] = 0.5 + 0.3 * x - 0.25 * step
    return picture
