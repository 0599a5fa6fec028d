"""Frames for the client's tests."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

import esr_client
from esr_client._frame import pixel_format


def array(value: int, width: int = 8, height: int = 6) -> NDArray[np.uint8]:
    """A gray picture of one value."""
    return np.full((height, width), value, np.uint8)


def frame(value: int, width: int = 8, height: int = 6, name: str = "yuv420p", **tags: object) -> esr_client.Frame:
    """A picture of one value, with pts 10·value."""
    row = pixel_format(name)
    planes = tuple(np.full(row.plane_shape(i, width, height), value, row.dtype) for i in range(len(row.planes)))
    fields = {"pts": 10 * value, "time_base": Fraction(1, 12800)} | tags
    return esr_client.Frame(planes, width, height, name, **fields)  # type: ignore[arg-type]
