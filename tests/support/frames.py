"""Pictures for tests: frames of any format, and a scaler in float64 that is slow, plain and right."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_media.color import ChromaLocation, Color
from esr_media.formats import PixelFormat
from esr_upscale.filters import Siting, keys_cubic
from esr_upscale.frame import Frame


def noise_planes(fmt: PixelFormat, width: int, height: int, seed: int = 0) -> tuple[NDArray[Any], ...]:
    """Planes of uniform noise over every code value of the format."""
    rng = np.random.default_rng(seed)
    return tuple(
        (rng.integers(0, 1 << fmt.depth, fmt.plane_shape(i, width, height)) << fmt.lsb).astype(fmt.dtype)
        for i in range(len(fmt.planes))
    )


def noise_frame(
    fmt: PixelFormat, width: int, height: int, *, pts: int | None = 0, location: ChromaLocation = ChromaLocation.LEFT
) -> Frame:
    """A frame of noise with tags that are all set, so that a lost one shows."""
    return Frame(
        fmt,
        width,
        height,
        noise_planes(fmt, width, height),
        pts=pts,
        duration=3,
        time_base=Fraction(1, 12800),
        color=Color(range=Color().range, primaries=9, transfer=16, matrix=9, chroma_location=location),
        sample_aspect_ratio=Fraction(4, 3),
        rotation=90,
    )


def bicubic_reference(
    plane: NDArray[Any], scale: int, siting_x: Siting = Siting.CENTRED, siting_y: Siting = Siting.CENTRED
) -> NDArray[np.float64]:
    """Keys' cubic of a plane in float64, edge replicated, neither clipped nor rounded. Written for reading."""
    return _axis(_axis(plane.astype(np.float64), scale, siting_y).T, scale, siting_x).T


def _axis(plane: NDArray[np.float64], scale: int, siting: Siting) -> NDArray[np.float64]:
    length = plane.shape[0]
    out = np.zeros((length * scale, plane.shape[1]))
    for j in range(length * scale):
        position = (j + siting.value) / scale - siting.value
        for i in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            out[j] += keys_cubic(position - i) * plane[min(max(i, 0), length - 1)]
    return out
