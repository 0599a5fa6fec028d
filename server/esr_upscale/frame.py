"""A decoded frame: planes, colour tags and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

from esr_media import formats
from esr_media.color import ChromaLocation, Color
from esr_media.formats import PixelFormat, plane_from_buffer
from esr_upscale.errors import FrameError, UnsupportedFormatError
from esr_upscale.filters import Siting

_SITINGS = {
    ChromaLocation.LEFT: (Siting.COSITED, Siting.CENTRED),
    ChromaLocation.CENTER: (Siting.CENTRED, Siting.CENTRED),
    ChromaLocation.TOPLEFT: (Siting.COSITED, Siting.COSITED),
    ChromaLocation.TOP: (Siting.CENTRED, Siting.COSITED),
    ChromaLocation.BOTTOMLEFT: (Siting.COSITED, Siting.COSITED_LAST),
    ChromaLocation.BOTTOM: (Siting.CENTRED, Siting.COSITED_LAST),
}


def siting_of(fmt: PixelFormat, location: ChromaLocation) -> tuple[Siting, Siting]:
    """Return the siting of chroma on x and y. Unspecified is left; an axis that is not subsampled is centred."""
    x, y = _SITINGS.get(location, _SITINGS[ChromaLocation.LEFT])
    chroma = fmt.planes[-1]
    return (x if chroma.shift_x else Siting.CENTRED), (y if chroma.shift_y else Siting.CENTRED)


def pixel_format(name: str) -> PixelFormat:
    """Look up a format by FFmpeg's name.

    Raises:
        UnsupportedFormatError: the name is not in the table; the message lists those that are.
    """
    try:
        return formats.pixel_format(name)
    except ValueError as error:
        raise UnsupportedFormatError(str(error)) from None


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
            raise FrameError(f"a frame must be at least 1x1, not {self.width}x{self.height}")
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


def planes_from_buffers(
    fmt: PixelFormat, width: int, height: int, buffers: Sequence[tuple[bytes | memoryview, int]]
) -> tuple[NDArray[Any], ...]:
    """View (data, stride) pairs, one for each plane, as the planes of a frame, without a copy.

    Raises:
        FrameError: the size, the number of planes, a stride or a length does not fit the format.
    """
    if width < 1 or height < 1:
        raise FrameError(f"a frame must be at least 1x1, not {width}x{height}")
    if len(buffers) != len(fmt.planes):
        raise FrameError(f"{fmt.name} has {len(fmt.planes)} planes, the frame has {len(buffers)}")
    try:
        return tuple(plane_from_buffer(fmt, i, width, height, data, stride) for i, (data, stride) in enumerate(buffers))
    except ValueError as error:
        raise FrameError(str(error)) from None
