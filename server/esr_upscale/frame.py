"""The table of pixel formats, colour tags, and a decoded frame with its timestamp.

Pixel formats have FFmpeg's names. A row of the table and two formulas (`plane_shape`, `row_bytes`) describe a format
completely; no other code branches on its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.errors import FrameError, UnsupportedFormatError
from esr_upscale.filters import Siting


class ColorModel(Enum):
    """What the components of a pixel are."""

    GRAY = "gray"
    YCBCR = "ycbcr"
    RGB = "rgb"


class ColorRange(IntEnum):
    """FFmpeg's AVColorRange: limited is 16–235 in 8 bit, full is 0–255."""

    UNSPECIFIED = 0
    LIMITED = 1
    FULL = 2


class ChromaLocation(IntEnum):
    """FFmpeg's AVChromaLocation: where a subsampled chroma sample lies in its cell of luma samples."""

    UNSPECIFIED = 0
    LEFT = 1
    CENTER = 2
    TOPLEFT = 3
    TOP = 4
    BOTTOMLEFT = 5
    BOTTOM = 6


_SITINGS = {
    ChromaLocation.LEFT: (Siting.COSITED, Siting.CENTRED),
    ChromaLocation.CENTER: (Siting.CENTRED, Siting.CENTRED),
    ChromaLocation.TOPLEFT: (Siting.COSITED, Siting.COSITED),
    ChromaLocation.TOP: (Siting.CENTRED, Siting.COSITED),
    ChromaLocation.BOTTOMLEFT: (Siting.COSITED, Siting.COSITED_LAST),
    ChromaLocation.BOTTOM: (Siting.CENTRED, Siting.COSITED_LAST),
}


@dataclass(frozen=True, slots=True)
class Color:
    """Colour tags, carried through and never applied. Code points of ITU-T H.273; 2 is "unspecified"."""

    range: ColorRange = ColorRange.UNSPECIFIED
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED


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

    def siting(self, location: ChromaLocation) -> tuple[Siting, Siting]:
        """The siting of chroma on the x and y axis. Unspecified is left; an axis that is not subsampled is centred."""
        x, y = _SITINGS.get(location, _SITINGS[ChromaLocation.LEFT])
        chroma = self.planes[-1]
        return (x if chroma.shift_x else Siting.CENTRED), (y if chroma.shift_y else Siting.CENTRED)


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
        UnsupportedFormatError: the name is not in the table; the message lists those that are.
    """
    if name not in PIXEL_FORMATS:
        raise UnsupportedFormatError(
            f"pixel format {name!r} is not supported; supported are {', '.join(PIXEL_FORMATS)}"
        )
    return PIXEL_FORMATS[name]


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """What a decoder knows of a picture that was coded by itself: the codec, by FFmpeg's name, and how many bits."""

    codec: str
    bits: int


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded picture: planes, tags and time.

    Planes are (rows, samples per row) as `PixelFormat.plane_shape` says, code values of `format.dtype`; rows are
    contiguous and may be padded. `pts` and `duration` are in units of `time_base` seconds; None is "unknown".
    `rotation` is in degrees, counter-clockwise, as a display matrix says it. `corrupt`: the decoder concealed damage.
    `key`: the frame is a key frame, as a decoder gave it.
    """

    format: PixelFormat
    width: int
    height: int
    planes: tuple[NDArray[Any], ...] = field(repr=False)
    pts: int | None = None
    duration: int | None = None
    time_base: Fraction = Fraction(1, 90000)
    color: Color = Color()
    sample_aspect_ratio: Fraction | None = None
    rotation: int = 0
    interlaced: bool = False
    corrupt: bool = False
    key: KeyFrame | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise FrameError(f"a frame is at least 1x1, not {self.width}x{self.height}")
        if len(self.planes) != len(self.format.planes):
            raise FrameError(
                f"{self.format.name} has {len(self.format.planes)} planes, the frame has {len(self.planes)}"
            )
        for index, plane in enumerate(self.planes):
            shape = self.format.plane_shape(index, self.width, self.height)
            if plane.shape != shape or plane.dtype != self.format.dtype:
                raise FrameError(
                    f"plane {index} of a {self.width}x{self.height} {self.format.name} frame is {shape} of "
                    f"{self.format.dtype}, not {plane.shape} of {plane.dtype}"
                )


def plane_from_buffer(
    fmt: PixelFormat, index: int, width: int, height: int, data: bytes | memoryview, stride: int
) -> NDArray[Any]:
    """View plane `index` in `data`, whose rows are `stride` bytes apart, without a copy. The view is read-only.

    The last row may lack its padding.

    Raises:
        FrameError: the stride is less than a row or splits a sample, or the data is too short or too long.
    """
    rows, samples = fmt.plane_shape(index, width, height)
    row_bytes = fmt.row_bytes(index, width)
    what = f"plane {index} of a {width}x{height} {fmt.name} frame"
    if stride < row_bytes:
        raise FrameError(f"{what} needs a stride of at least {row_bytes} bytes, not {stride}")
    if stride % fmt.dtype.itemsize:
        raise FrameError(f"{what} needs a stride that is a multiple of {fmt.dtype.itemsize} bytes, not {stride}")
    least, most = stride * (rows - 1) + row_bytes, stride * rows
    if not least <= len(data) <= most:
        size = f"{most}" if least == most else f"{least} to {most}"
        raise FrameError(f"{what} with stride {stride} has {size} bytes, not {len(data)}")
    return np.ndarray((rows, samples), fmt.dtype, data, strides=(stride, fmt.dtype.itemsize))


def planes_from_buffers(
    fmt: PixelFormat, width: int, height: int, buffers: Sequence[tuple[bytes | memoryview, int]]
) -> tuple[NDArray[Any], ...]:
    """View (data, stride) pairs, one for each plane, as the planes of a frame, without a copy.

    Raises:
        FrameError: the size, the number of planes, a stride or a length does not fit the format.
    """
    if width < 1 or height < 1:
        raise FrameError(f"a frame is at least 1x1, not {width}x{height}")
    if len(buffers) != len(fmt.planes):
        raise FrameError(f"{fmt.name} has {len(fmt.planes)} planes, the frame has {len(buffers)}")
    return tuple(plane_from_buffer(fmt, i, width, height, data, stride) for i, (data, stride) in enumerate(buffers))
