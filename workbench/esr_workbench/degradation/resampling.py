"""Resampling of one axis as a matrix: the downscalers that small video was made with, Lanczos, and sub-pixel moves.

An output sample is a weighted sum of input samples; the weights are a kernel at the distances, and sum to one. Kernels:
box (the mean of an area), triangle (bilinear), R. Keys' cubic with a = −0.5 and −0.75 (IEEE TASSP 29(6), 1981), Lanczos
windows of 3 and 4 lobes, and Spline36 (H. Dersch, Panorama Tools).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """An interpolation kernel: its value at a distance, zero from `support` on."""

    value: Callable[[Values], Values]
    support: float


def _cubic(a: float) -> Kernel:
    def value(x: Values) -> Values:
        x = np.abs(x)
        inner = ((a + 2) * x - (a + 3)) * x * x + 1
        outer = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x < 1, inner, np.where(x < 2, outer, 0))

    return Kernel(value, 2)


def _lanczos(lobes: int) -> Kernel:
    return Kernel(lambda x: np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0), lobes)


_SPLINE36 = ((13 / 11, -453 / 209, -3 / 209, 1), (-6 / 11, 270 / 209, -156 / 209, 0), (1 / 11, -45 / 209, 26 / 209, 0))


def _spline36(x: Values) -> Values:
    x = np.abs(x)
    value = np.zeros_like(x)
    for piece, (a, b, c, d) in enumerate(_SPLINE36):
        t = x - piece
        value = np.where((t >= 0) & (t < 1), ((a * t + b) * t + c) * t + d, value)
    return value


KERNELS = MappingProxyType(
    {
        "area": Kernel(lambda x: (np.abs(x) <= 0.5) * 1.0, 0.5),
        "bilinear": Kernel(lambda x: np.maximum(0.0, 1 - np.abs(x)), 1),
        "bicubic": _cubic(-0.5),
        "bicubic_sharp": _cubic(-0.75),
        "lanczos3": _lanczos(3),
        "lanczos4": _lanczos(4),
        "spline36": Kernel(_spline36, 3),
    }
)
"""Kernels by the names that scalers have for them."""


def resampling_matrix(length: int, positions: Values, kernel: Kernel, width: float = 1.0) -> NDArray[np.float32]:
    """Return (len(positions), length) weights: sample an axis at `positions`, 0 being the centre of the first sample.

    `width` stretches the kernel, by the scale where a picture is made smaller. Beyond its ends the axis goes on with
    its last sample.
    """
    reach = int(np.ceil(kernel.support * width)) + 1
    taps = np.floor(positions)[:, None].astype(int) + np.arange(-reach, reach + 1)
    weights = kernel.value((taps - positions[:, None]) / width)
    matrix = np.zeros((len(positions), length))
    rows = np.broadcast_to(np.arange(len(positions))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, length - 1)), weights)
    weighted: NDArray[np.float32] = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return weighted


@lru_cache(256)
def reduction_matrix(length: int, scale: int, kernel: str, sharpness: float = 1.0) -> NDArray[np.float32]:
    """Return (length / scale, length) weights that make an axis `scale` times as short.

    With a `sharpness` above 1 the kernel is narrower than it should be, and the result is aliased.
    """
    positions = (np.arange(length // scale) + 0.5) * scale - 0.5
    return resampling_matrix(length, positions, KERNELS[kernel], scale / sharpness)


@lru_cache(256)
def enlargement_matrix(length: int, scale: int, kernel: str) -> NDArray[np.float32]:
    """Return (length · scale, length) weights that make an axis `scale` times as long."""
    positions = (np.arange(length * scale) + 0.5) / scale - 0.5
    return resampling_matrix(length, positions, KERNELS[kernel])


def blur_matrix(length: int, sigma_px: float) -> NDArray[np.float32]:
    """Return (length, length) weights of a Gaussian."""
    gauss = Kernel(lambda x: np.exp(-0.5 * x * x), 4)
    return resampling_matrix(length, np.arange(length, dtype=np.float64), gauss, sigma_px)


def resample(picture: NDArray[Any], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a matrix to each axis of (…, H, W); the result is float32 and not rounded."""
    result: NDArray[np.float32] = rows @ picture.astype(np.float32) @ columns.T
    return result


def enlarge(picture: NDArray[Any], scale: int, kernel: str = "lanczos4") -> NDArray[np.float32]:
    """Return (…, H·s, W·s) of a picture (…, H, W), neither rounded nor clipped."""
    height, width = picture.shape[-2:]
    return resample(picture, enlargement_matrix(height, scale, kernel), enlargement_matrix(width, scale, kernel))
