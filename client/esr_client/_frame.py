"""What goes in and comes out: pixel formats, colour tags, frames and packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

from esr_client._errors import FrameError
from esr_media import formats, packet
from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.formats import PixelFormat

__all__ = [
    "ChromaLocation",
    "Color",
    "ColorRange",
    "Frame",
    "Packet",
    "StageSeconds",
]


def pixel_format(name: str) -> PixelFormat:
    """Look up a format by FFmpeg's name.

    Raises:
        FrameError: the name is not in the table; the message lists those that are.
    """
    try:
        return formats.pixel_format(name)
    except ValueError as error:
        raise FrameError(str(error)) from None


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
            raise FrameError(f"a frame must be at least 1x1, not {self.width}x{self.height}")
        if len(self.planes) != len(row.planes):
            raise FrameError(f"{what} has {len(row.planes)} planes, not {len(self.planes)}")
        for index, plane in enumerate(self.planes):
            shape = row.plane_shape(index, self.width, self.height)
            if plane.shape != shape or plane.dtype != row.dtype:
                raise FrameError(f"plane {index} of {what} is {shape} {row.dtype}, not {plane.shape} {plane.dtype}")


@dataclass(frozen=True, slots=True)
class Packet(packet.Packet):
    """One compressed access unit. Times are in units of the stream's time base; None is unknown."""

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
