"""The table of pixel formats, and views of bytes as their planes.

Pixel formats have FFmpeg's names. A row of the table and two formulas (`plane_shape`, `row_bytes`) describe a format
completely; no other code branches on its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ColorModel(Enum):
    """What the components of a pixel are."""

    GRAY = "gray"
    YCBCR = "ycbcr"
    RGB = "rgb"


@dataclass(frozen=True, slots=True)
class PlaneLayout:
    """One plane of a format: its components in memory order, and its subsampling as ceiling shifts."""

    components: tuple[int, ...]
    shift_x: int = 0
    shift_y: int = 0


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One row of the table.

    `depth` is the number of significant bits; `lsb` how far they are shifted up in their 16-bit word (p010le: 6).
    """

    name: str
    model: ColorModel
    depth: int
    planes: tuple[PlaneLayout, ...]
    lsb: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the sample type: uint8, or little-endian uint16 for more than 8 bits."""
        return np.dtype(np.uint8) if self.depth <= 8 else np.dtype("<u2")

    def plane_shape(self, index: int, width: int, height: int) -> tuple[int, int]:
        """Rows and samples per row of plane `index` of a `width` × `height` picture (ceiling shifts)."""
        plane = self.planes[index]
        return -(-height >> plane.shift_y), -(-width >> plane.shift_x) * len(plane.components)

    def row_bytes(self, index: int, width: int) -> int:
        """Return the least stride of plane `index`, in bytes."""
        return self.plane_shape(index, width, 1)[1] * self.dtype.itemsize

    def frame_bytes(self, width: int, height: int) -> int:
        """Bytes of all planes without padding."""
        return sum(self.plane_shape(i, width, height)[0] * self.row_bytes(i, width) for i in range(len(self.planes)))


def _planar(shift_x: int, shift_y: int) -> tuple[PlaneLayout, ...]:
    return PlaneLayout((0,)), PlaneLayout((1,), shift_x, shift_y), PlaneLayout((2,), shift_x, shift_y)


def _semi_planar(shift_x: int, shift_y: int) -> tuple[PlaneLayout, ...]:
    return PlaneLayout((0,)), PlaneLayout((1, 2), shift_x, shift_y)


_GRAY = (PlaneLayout((0,)),)

_FORMATS = (
    PixelFormat("gray", ColorModel.GRAY, 8, _GRAY),
    PixelFormat("gray10le", ColorModel.GRAY, 10, _GRAY),
    PixelFormat("gray16le", ColorModel.GRAY, 16, _GRAY),
    PixelFormat("yuv420p", ColorModel.YCBCR, 8, _planar(1, 1)),
    PixelFormat("yuvj420p", ColorModel.YCBCR, 8, _planar(1, 1)),
    PixelFormat("nv12", ColorModel.YCBCR, 8, _semi_planar(1, 1)),
    PixelFormat("yuv422p", ColorModel.YCBCR, 8, _planar(1, 0)),
    PixelFormat("yuv444p", ColorModel.YCBCR, 8, _planar(0, 0)),
    PixelFormat("yuv420p10le", ColorModel.YCBCR, 10, _planar(1, 1)),
    PixelFormat("p010le", ColorModel.YCBCR, 10, _semi_planar(1, 1), lsb=6),
    PixelFormat("yuv422p10le", ColorModel.YCBCR, 10, _planar(1, 0)),
    PixelFormat("yuv444p10le", ColorModel.YCBCR, 10, _planar(0, 0)),
    PixelFormat("rgb24", ColorModel.RGB, 8, (PlaneLayout((0, 1, 2)),)),
    PixelFormat("bgr24", ColorModel.RGB, 8, (PlaneLayout((2, 1, 0)),)),
    PixelFormat("rgb48le", ColorModel.RGB, 16, (PlaneLayout((0, 1, 2)),)),
    PixelFormat("bgr48le", ColorModel.RGB, 16, (PlaneLayout((2, 1, 0)),)),
)

PIXEL_FORMATS = {row.name: row for row in _FORMATS}


def pixel_format(name: str) -> PixelFormat:
    """Look up a format by FFmpeg's name.

    Raises:
        ValueError: the name is not in the table; the message lists those that are.
    """
    if name not in PIXEL_FORMATS:
        raise ValueError(f"pixel format {name!r} is not supported; supported are {', '.join(PIXEL_FORMATS)}")
    return PIXEL_FORMATS[name]


def plane_from_buffer(
    fmt: PixelFormat, index: int, width: int, height: int, data: bytes | memoryview | NDArray[np.uint8], stride: int
) -> NDArray[Any]:
    """View plane `index` in `data`, whose rows are `stride` bytes apart, without a copy. The view is read-only.

    The last row may lack its padding.

    Raises:
        ValueError: the stride is less than a row or splits a sample, or the data is too short or too long.
    """
    rows, samples = fmt.plane_shape(index, width, height)
    row_bytes = fmt.row_bytes(index, width)
    what = f"plane {index} of a {width}x{height} {fmt.name} frame"
    if stride < row_bytes:
        raise ValueError(f"{what} needs a stride of at least {row_bytes} bytes, not {stride}")
    if stride % fmt.dtype.itemsize:
        raise ValueError(f"{what} needs a stride that is a multiple of {fmt.dtype.itemsize} bytes, not {stride}")
    least, most = stride * (rows - 1) + row_bytes, stride * rows
    if not least <= len(data) <= most:
        size = f"{most}" if least == most else f"{least} to {most}"
        raise ValueError(f"{what} with stride {stride} has {size} bytes, not {len(data)}")
    return np.ndarray((rows, samples), fmt.dtype, data, strides=(stride, fmt.dtype.itemsize))
