from __future__ import annotations

import gc
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from av.video.frame import VideoFrame

from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.formats import PIXEL_FORMATS
from esr_upscale.errors import UnsupportedFormatError
from esr_upscale.media.frames import FrameTags, from_av, overlay, source_of, to_av

TAGS = FrameTags(Fraction(1, 90000))
SIZES = [(64, 48), (33, 17), (1, 1)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_planes_of_every_format_there_and_back(samples: SimpleNamespace, name: str, size: tuple[int, int]) -> None:
    frame = samples.picture(3, *size, name)
    picture = to_av(frame)
    assert (picture.format.name, picture.width, picture.height) == (name, *size)
    for actual, want in zip(samples.planes_of(picture), frame.planes, strict=True):
        np.testing.assert_array_equal(actual, want)
    back = from_av(picture, TAGS)
    for actual, want in zip(back.planes, frame.planes, strict=True):
        np.testing.assert_array_equal(actual, want)


def test_strided_planes_are_copied_row_by_row(samples: SimpleNamespace) -> None:
    wide = samples.picture(0, 64, 48, "yuv420p")
    frame = replace(wide, width=32, planes=(wide.planes[0][:, 5:37], wide.planes[1][:, 3:19], wide.planes[2][:, :16]))
    for actual, want in zip(samples.planes_of(to_av(frame)), frame.planes, strict=True):
        np.testing.assert_array_equal(actual, want)


def test_views_are_read_only_and_keep_the_frame(samples: SimpleNamespace) -> None:
    source = samples.av_picture(0, 64, 48, "yuv420p")
    address = source.planes[1].buffer_ptr
    frame = from_av(source, TAGS)
    want = samples.planes_of(source)
    assert frame.planes[1].ctypes.data == address
    with pytest.raises(ValueError, match="read-only"):
        frame.planes[0][0, 0] = 1
    del source
    gc.collect()
    for actual, copy in zip(frame.planes, want, strict=True):
        np.testing.assert_array_equal(actual, copy)


def test_time_and_colour_tags_pass_both_ways(samples: SimpleNamespace) -> None:
    color = Color(ColorRange.LIMITED, 9, 16, 9, ChromaLocation.TOPLEFT)
    frame = replace(samples.picture(0, 32, 16, "yuv420p10le"), color=color, pts=-7, duration=11)
    picture = to_av(frame)
    assert (picture.pts, picture.duration, picture.time_base) == (-7, 11, frame.time_base)
    back = from_av(picture, replace(TAGS, time_base=frame.time_base))
    assert (back.pts, back.duration, back.time_base) == (-7, 11, frame.time_base)
    # The siting alone cannot be written on FFmpeg's frame.
    assert replace(back.color, chroma_location=ChromaLocation.TOPLEFT) == color


def test_missing_pts_and_duration_stay_missing(samples: SimpleNamespace) -> None:
    frame = from_av(to_av(replace(samples.picture(0, 16, 16, "gray"), pts=None, duration=None)), TAGS)
    assert frame.pts is None
    assert frame.duration is None


def test_tags_from_outside_win_where_they_are_set(samples: SimpleNamespace) -> None:
    source = to_av(replace(samples.picture(0, 16, 16, "yuv420p"), color=Color(ColorRange.LIMITED, 1, 1, 1)))
    tags = FrameTags(
        TAGS.time_base,
        color=Color(ColorRange.UNSPECIFIED, 9, 2, 9, ChromaLocation.UNSPECIFIED),
        default_chroma_location=ChromaLocation.CENTER,
        sample_aspect_ratio=Fraction(4, 3),
        rotation=90,
    )
    frame = from_av(source, tags)
    assert frame.color == Color(ColorRange.LIMITED, 9, 1, 9, ChromaLocation.CENTER)
    assert frame.sample_aspect_ratio == Fraction(4, 3)
    assert frame.rotation == 90


def test_overlay_of_nothing_changes_nothing() -> None:
    color = Color(ColorRange.FULL, 1, 13, 6, ChromaLocation.BOTTOM)
    assert overlay(color, Color()) == color
    assert overlay(Color(), color) == color


@pytest.mark.parametrize(("name", "twin"), [("yuvj420p", "yuvj420p"), ("yuvj422p", "yuv422p"), ("yuvj444p", "yuv444p")])
def test_a_format_that_says_full_range_becomes_a_tag(name: str, twin: str) -> None:
    frame = from_av(VideoFrame(16, 16, name), TAGS)
    assert frame.format.name == twin
    assert frame.color.range is ColorRange.FULL


def test_a_format_outside_the_table_is_named() -> None:
    with pytest.raises(UnsupportedFormatError, match="yuv410p"):
        from_av(VideoFrame(16, 16, "yuv410p"), TAGS)


def test_only_untouched_views_have_a_source(samples: SimpleNamespace) -> None:
    source, other = (samples.av_picture(i, 32, 32, "yuv420p") for i in range(2))
    frame = from_av(source, TAGS)
    assert source_of(frame) is source
    assert source_of(samples.picture(0, 32, 32, "yuv420p")) is None
    assert source_of(replace(frame, planes=(frame.planes[0], *from_av(other, TAGS).planes[1:]))) is None
    assert source_of(replace(frame, planes=tuple(plane[:] for plane in frame.planes))) is None
