"""The table of pixel formats, and buffers that do not fit it."""

from __future__ import annotations

import av
import numpy as np
import pytest

from esr_media.formats import PIXEL_FORMATS, PixelFormat, pixel_format, plane_from_buffer

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
    av_format = av.VideoFormat(fmt.name)
    assert av_format.components[0].bits == fmt.depth
    assert av_format.is_rgb == (fmt.model.value == "rgb")


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"yuv411p.*supported are gray, .*yuv420p"):
        pixel_format("yuv411p")


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
    with pytest.raises(ValueError, match=says):
        plane_from_buffer(pixel_format("gray"), 0, 5, 4, bytes(length), stride)


def test_a_stride_that_splits_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 2 bytes, not 11"):
        plane_from_buffer(pixel_format("gray10le"), 0, 5, 4, bytes(44), 11)
