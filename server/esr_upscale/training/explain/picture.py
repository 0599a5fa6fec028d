"""A picture to explain models on when none is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 96


def synthetic_picture(size: int = SIZE) -> NDArray[np.float64]:
    """A picture (size, size) in 0 … 1: a disc, a zone plate, bars that get finer, and a ramp, a quarter each.

    Together they have edges of every direction, waves of every direction and frequency, and smooth parts.
    """
    half = size // 2
    picture = np.empty((2 * half, 2 * half))
    picture[:half, :half], picture[:half, half:] = _disc(half), _zone_plate(half)
    picture[half:, :half], picture[half:, half:] = _bars(half), _ramp(half)
    return picture


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Pixel centres from −1 to 1.
    steps = (np.arange(size) + 0.5) / size * 2 - 1
    return steps[:, None], steps[None, :]


def _disc(size: int) -> NDArray[np.float64]:
    y, x = _grid(size)
    # A pixel wide from dark to light, as a camera would have it.
    edge = np.clip((0.7 - np.hypot(y, x)) * size / 2 + 0.5, 0, 1)
    return np.asarray(0.15 + 0.7 * edge)


def _zone_plate(size: int) -> NDArray[np.float64]:
    y, x = _grid(size)
    # Half of the sampling frequency is reached at the corners.
    return np.asarray(0.5 + 0.4 * np.cos(np.pi * size / 4 * (y * y + x * x) / 2**0.5))


def _bars(size: int) -> NDArray[np.float64]:
    y, x = _grid(size)
    finer = np.sin(np.pi * size / 12 * (x + 1.2) ** 2)
    return np.asarray(0.5 + 0.35 * np.sign(finer) * (np.abs(y) < 0.75))


def _ramp(size: int) -> NDArray[np.float64]:
    y, x = _grid(size)
    cut = (x + 2 * y > 0.4).astype(float)
    return np.asarray(0.5 + 0.3 * x - 0.25 * cut)
