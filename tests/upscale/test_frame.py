"""The table of pixel formats, and frames that do not fit it."""

from __future__ import annotations

import pytest

from esr_media.color import ChromaLocation
from esr_upscale.errors import FrameError, UnsupportedFormatError
from esr_upscale.filters import Siting
from esr_upscale.frame import Frame, pixel_format, planes_from_buffers, siting_of
from tests.support.frames import noise_planes


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UnsupportedFormatError, match=r"yuv411p.*supported are gray, .*yuv420p"):
        pixel_format("yuv411p")


@pytest.mark.parametrize(
    ("name", "location", "siting"),
    [
        ("yuv420p", ChromaLocation.UNSPECIFIED, (Siting.COSITED, Siting.CENTRED)),
        ("yuv420p", ChromaLocation.LEFT, (Siting.COSITED, Siting.CENTRED)),
        ("yuv420p", ChromaLocation.CENTER, (Siting.CENTRED, Siting.CENTRED)),
        ("yuv420p", ChromaLocation.TOPLEFT, (Siting.COSITED, Siting.COSITED)),
        ("yuv420p", ChromaLocation.BOTTOM, (Siting.CENTRED, Siting.COSITED_LAST)),
        ("yuv422p", ChromaLocation.TOPLEFT, (Siting.COSITED, Siting.CENTRED)),
        ("yuv444p", ChromaLocation.TOPLEFT, (Siting.CENTRED, Siting.CENTRED)),
    ],
)
def test_siting(name: str, location: ChromaLocation, siting: tuple[Siting, Siting]) -> None:
    assert siting_of(pixel_format(name), location) == siting


def test_a_size_of_zero_is_refused() -> None:
    with pytest.raises(FrameError, match="at least 1x1, not 0x4"):
        planes_from_buffers(pixel_format("gray"), 0, 4, [(b"", 0)])


def test_a_missing_plane_is_refused() -> None:
    with pytest.raises(FrameError, match="3 planes, the frame has 1"):
        planes_from_buffers(pixel_format("yuv420p"), 2, 2, [(bytes(4), 2)])


def test_a_frame_checks_its_planes() -> None:
    fmt = pixel_format("yuv420p")
    planes = noise_planes(fmt, 6, 4)
    with pytest.raises(FrameError, match=r"plane 0 of a 8x4 yuv420p frame is \(4, 8\)"):
        Frame(fmt, 8, 4, planes)


def test_a_buffer_that_does_not_fit_is_a_frame_error() -> None:
    with pytest.raises(FrameError, match="29 to 32 bytes, not 28"):
        planes_from_buffers(pixel_format("gray"), 5, 4, [(bytes(28), 8)])
