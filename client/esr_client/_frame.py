"""What goes in and comes out: pixel formats, colour tags, frames and packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_client._errors import FrameError

__all__ = [
    "ChromaLocation",
    "Color",
    "ColorRange",
    "Frame",
    "Packet",
    "StageSeconds",
]


class ColorRange(IntEnum):
    """FFmpeg's AVColorRange: limited is 16–235 in 8 bit, full is 0–255."""

    UNSPECIFIED = 0
    LIMITED = 1
    FULL = 2


class ChromaLocation(IntEnum):
    """FFmpeg's AVChromaLocation. Unspecified is taken as left by the server."""

    UNSPECIFIED = 0
    LEFT = 1
    CENTER = 2
    TOPLEFT = 3
    TOP = 4
    BOTTOMLEFT = 5
    BOTTOM = 6


@dataclass(frozen=True, slots=True)
class Color:
    """Colour tags, carried through and never applied. Code points of ITU-T H.273; 2 is "unspecified"."""

    range: ColorRange = ColorRange.UNSPECIFIED
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One row of the table: for each plane samples per pixel and ceiling shifts of width and height."""

    name: str
    planes: tuple[tuple[int, int, int], ...]
    sample_bytes: int = 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return uint8, or little-endian uint16 for samples of two bytes."""
        return np.dtype(np.uint8) if self.sample_bytes == 1 else np.dtype("<u2")

    def plane_shape(self, index: int, width: int, height: int) -> tuple[int, int]:
        """Return the rows and samples per row of plane `index`."""
        samples, shift_x, shift_y = self.planes[index]
        return -(-height >> shift_y), -(-width >> shift_x) * samples


_GRAY = ((1, 0, 0),)
_PACKED = ((3, 0, 0),)
_420 = ((1, 0, 0), (1, 1, 1), (1, 1, 1))
_422 = ((1, 0, 0), (1, 1, 0), (1, 1, 0))
_444 = ((1, 0, 0), (1, 0, 0), (1, 0, 0))
_SEMI_420 = ((1, 0, 0), (2, 1, 1))

PIXEL_FORMATS = {
    row.name: row
    for row in (
        PixelFormat("gray", _GRAY),
        PixelFormat("gray10le", _GRAY, 2),
        PixelFormat("gray16le", _GRAY, 2),
        PixelFormat("yuv420p", _420),
        PixelFormat("yuvj420p", _420),
        PixelFormat("nv12", _SEMI_420),
        PixelFormat("yuv422p", _422),
        PixelFormat("yuv444p", _444),
        PixelFormat("yuv420p10le", _420, 2),
        PixelFormat("p010le", _SEMI_420, 2),
        PixelFormat("yuv422p10le", _422, 2),
        PixelFormat("yuv444p10le", _444, 2),
        PixelFormat("rgb24", _PACKED),
        PixelFormat("bgr24", _PACKED),
        PixelFormat("rgb48le", _PACKED, 2),
        PixelFormat("bgr48le", _PACKED, 2),
    )
}


def pixel_format(name: str) -> PixelFormat:
    """Look up a format by FFmpeg's name.

    Raises:
        FrameError: the name is not in the table; the message lists those that are.
    """
    if name not in PIXEL_FORMATS:
        raise FrameError(f"pixel format {name!r} is not supported; supported are {', '.join(PIXEL_FORMATS)}")
    return PIXEL_FORMATS[name]


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds that a frame, or all frames of a stream, spent in each stage of the server."""

    decode: float = 0.0
    queue: float = 0.0
    luma: float = 0.0
    chroma: float = 0.0
    encode: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture: planes, tags and time.

    Raises:
        FrameError: the planes do not fit the size and the pixel format.
    """

    planes: tuple[NDArray[Any], ...] = field(repr=False)
    """One array (rows, samples per row) for each plane, uint8 or little-endian uint16. Subsampled sizes are rounded up;
    a row of rgb24 has 3·width samples, one of nv12's chroma the interleaved samples of both. Received ones are
    read-only views."""
    width: int
    height: int
    pixel_format: str
    """FFmpeg's name."""
    pts: int | None = None
    """In units of `time_base`; None is unknown."""
    duration: int | None = None
    """In units of `time_base`; None is unknown."""
    time_base: Fraction = Fraction(1, 90000)
    """In seconds."""
    color: Color = Color()
    sample_aspect_ratio: Fraction | None = None
    rotation: int = 0
    """Degrees counter-clockwise that a player turns the picture by."""
    interlaced: bool = False
    corrupt: bool = False
    """The decoder had to conceal damage."""
    sequence: int | None = None
    """Responses only: the number of the frame, counted from 0."""
    stages: StageSeconds | None = None
    """Responses only."""
    model: str = ""
    """Responses only: canonical id of the model that made this frame."""
    source_quantizer: float | None = None
    """Responses only: the quantiser whose weights made this frame; None: weights for all sources."""
    source_downscaler: str = ""
    """Responses only: the downscaler that those weights are for, such as area; empty: any."""

    def __post_init__(self) -> None:
        row = pixel_format(self.pixel_format)
        what = f"a {self.width}x{self.height} {self.pixel_format} frame"
        if self.width < 1 or self.height < 1:
            raise FrameError(f"a frame is at least 1x1, not {self.width}x{self.height}")
        if len(self.planes) != len(row.planes):
            raise FrameError(f"{what} has {len(row.planes)} planes, not {len(self.planes)}")
        for index, plane in enumerate(self.planes):
            shape = row.plane_shape(index, self.width, self.height)
            if plane.shape != shape or plane.dtype != row.dtype:
                raise FrameError(f"plane {index} of {what} is {shape} {row.dtype}, not {plane.shape} {plane.dtype}")


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed access unit. Times are in units of the stream's time base; None is unknown."""

    data: bytes = field(repr=False)
    pts: int | None = None
    dts: int | None = None
    duration: int | None = None
    is_keyframe: bool = False
    new_extradata: bytes = field(default=b"", repr=False)
    """Codec headers that apply from this packet on, or empty."""
    sequence: int | None = None
    """Responses only."""
    stages: StageSeconds | None = None
    """Responses only: of the frame that made this packet."""
    model: str = ""
    """Responses only: canonical id of the model that made that frame."""
    source_quantizer: float | None = None
    """Responses only: as of `Frame`."""
    source_downscaler: str = ""
    """Responses only: as of `Frame`."""


def plane_from_buffer(
    row: PixelFormat, index: int, size: tuple[int, int], data: bytes | NDArray[np.uint8], stride: int
) -> NDArray[Any]:
    """View received bytes as plane `index` of a picture of `size` (width, height), read-only and without a copy.

    Raises:
        FrameError: the bytes are too few for the size and the stride.
    """
    rows, samples = row.plane_shape(index, *size)
    needed = stride * (rows - 1) + samples * row.sample_bytes
    if stride < samples * row.sample_bytes or stride % row.sample_bytes or len(data) < needed:
        raise FrameError(f"plane {index} of {size[0]}x{size[1]} {row.name}: {len(data)} bytes with stride {stride}")
    return np.ndarray((rows, samples), row.dtype, data, strides=(stride, row.sample_bytes))
