"""Planes of FFmpeg's frames as arrays."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.filter import Graph

from esr_media.av_planes import owner_of, plane_views
from esr_media.formats import PIXEL_FORMATS, pixel_format


@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_a_view_is_the_memory_of_the_frame(name: str) -> None:
    frame = av.VideoFrame(37, 11, name)
    for index, plane in enumerate(plane_views(frame, pixel_format(name))):
        plane[...] = index + 1
        line = np.frombuffer(bytes(frame.planes[index]), plane.dtype)
        assert line[0] == index + 1
        assert plane.shape == pixel_format(name).plane_shape(index, 37, 11)


def test_views_keep_their_frame_and_name_it() -> None:
    frame = av.VideoFrame(8, 4, "yuv420p")
    views = plane_views(frame, pixel_format("yuv420p"))
    assert owner_of(views, 8, 4) is frame
    assert owner_of(views, 4, 4) is None
    assert owner_of([view.copy() for view in views], 8, 4) is None


def test_a_picture_that_is_stored_bottom_up() -> None:
    """FFmpeg's vflip turns the sign of the stride instead of moving rows."""
    gray = np.arange(8, dtype=np.uint8).repeat(64).reshape(8, 64)
    source = av.VideoFrame.from_ndarray(gray, "gray")
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=64, height=8, format=source.format, time_base=1),  # type: ignore[arg-type]
        graph.add("vflip"),
        graph.add("buffersink"),
    ).configure()
    graph.vpush(source)
    flipped = graph.vpull()
    assert flipped.planes[0].line_size < 0
    (plane,) = plane_views(flipped, pixel_format("gray"))
    assert np.array_equal(plane, gray[::-1])
