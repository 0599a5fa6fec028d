"""The table of pixel formats, and frames that do not fit it."""

from __future__ import annotations

import av
import numpy as np
import pytest

from esr_upscale.errors import FrameError, UnsupportedFormatError
from esr_upscale.filters import Siting
from esr_upscale.frame import (
    PIXEL_FORMATS,
    ChromaLocation,
    Frame,
    PixelFormat,
    pixel_format,
    plane_from_buffer,
    planes_from_buffers,
)
from tests.support.frames import noise_planes

every_format = pytest.mark.parametrize("fmt", PIXEL_FORMATS.values(), ids=PIXEL_FORMATS)


@every_format
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5), (64, 33), (161, 121)])
def test_geometry_is_that_of_ffmpeg(fmt: PixelFormat, size: tuple[int, int]) -> None:
    width, height = size
    frame = av.VideoFrame(width, height, fmt.name)
    assert len(frame.planes) == len(fmt.planes)
    for index, plane in enumerate(frame.planes):
        rows, samples = fmt.plane_shape(index, width, height)
        assert rows == plane.height
        assert samples == plane.width * len(fmt.planes[index].components)
        assert fmt.row_bytes(index, width) <= plane.line_size


@every_format
def test_depth_and_model_are_those_of_ffmpeg(fmt: PixelFormat) -> None:
    described = av.VideoFormat(fmt.name)
    assert described.components[0].bits == fmt.depth
    assert described.is_rgb == (fmt.model.value == "rgb")


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
    assert pixel_format(name).siting(location) == siting


def test_a_plane_is_viewed_not_copied() -> None:
    data = bytes(range(32))
    plane = plane_from_buffer(pixel_format("gray"), 0, 5, 4, data, 8)
    assert plane.tolist() == [[8 * y + x for x in range(5)] for y in range(4)]
    assert np.shares_memory(plane, np.frombuffer(data, np.uint8))
    assert not plane.flags.writeable


def test_the_last_row_may_lack_its_padding() -> None:
    assert plane_from_buffer(pixel_format("gray"), 0, 5, 4, bytes(29), 8).shape == (4, 5)


@pytest.mark.parametrize(
    ("length", "stride", "says"),
    [
        (28, 8, "29 to 32 bytes, not 28"),
        (33, 8, "29 to 32 bytes, not 33"),
        (19, 5, "20 bytes, not 19"),
        (20, 4, "stride of at least 5 bytes, not 4"),
        (20, 0, "stride of at least 5 bytes, not 0"),
    ],
)
def test_a_buffer_that_does_not_fit_is_refused(length: int, stride: int, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        plane_from_buffer(pixel_format("gray"), 0, 5, 4, bytes(length), stride)


def test_a_stride_that_splits_a_sample_is_refused() -> None:
    with pytest.raises(FrameError, match="multiple of 2 bytes, not 11"):
        plane_from_buffer(pixel_format("gray10le"), 0, 5, 4, bytes(44), 11)


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
