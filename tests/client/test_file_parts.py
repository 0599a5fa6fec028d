"""Parts of the file front end that need no server."""

from __future__ import annotations

from fractions import Fraction

import pytest

from esr_client import OutputError
from esr_client.files._codecs import ENCODERS, check_size, encoder_format, encoding, is_even_only
from esr_client.files._copies import lasting_metadata
from esr_client.files._shown import display_name
from esr_client.files._writers import Timeline


def test_times_that_advance_are_kept() -> None:
    notes: list[str] = []
    timeline = Timeline(Fraction(1, 1000), Fraction(25), notes.append)
    assert [timeline.next_pts(pts) for pts in (5, 6, 100)] == [5, 6, 100]
    assert notes == []


def test_missing_times_are_made_up_without_drift() -> None:
    notes: list[str] = []
    timeline = Timeline(Fraction(1, 1000), Fraction(30000, 1001), notes.append)
    assert [timeline.next_pts(None) for _ in range(4)] == [0, 33, 67, 100]
    assert [timeline.next_pts(None) for _ in range(3000)][-1] == round(3003 * 1001 / 30)
    assert len(notes) == 1


def test_times_that_do_not_advance_are_moved() -> None:
    notes: list[str] = []
    timeline = Timeline(Fraction(1, 1000), Fraction(25), notes.append)
    assert [timeline.next_pts(pts) for pts in (40, 40, 39, 80)] == [40, 41, 42, 80]
    assert len(notes) == 1


@pytest.mark.parametrize("codec", [name for name, row in ENCODERS.items() if row.presets])
def test_every_encoder_takes_ordinary_video(codec: str) -> None:
    assert encoder_format(codec, "yuv420p") == "yuv420p"
    assert encoder_format(codec, "yuvj420p") == "yuv420p"
    assert encoder_format(codec, "nv12") in ("nv12", "yuv420p")
    check_size(codec, "yuv420p", 64, 48)
    check_size(codec, "yuv444p", 63, 47)


def test_ten_bits_are_for_the_encoders_that_have_them() -> None:
    assert encoder_format("libx265", "p010le") == "yuv420p10le"
    with pytest.raises(OutputError, match="choose --codec h264 or hevc or av1"):
        encoder_format("libvpx-vp9", "p010le")


def test_rgb_where_the_codec_has_none() -> None:
    assert encoder_format("libx264", "rgb24") == "yuv420p"
    assert encoder_format("libx265", "rgb24") == "gbrp"
    assert encoder_format("libsvtav1", "rgb48le") == "yuv420p10le"
    with pytest.raises(OutputError, match="choose --codec h264 or hevc or av1"):
        encoder_format("libvpx-vp9", "rgb48le")
    assert [is_even_only(codec, "rgb24") for codec in ("libx264", "libx265", "libvpx-vp9")] == [True, False, False]


def test_the_usual_encoding() -> None:
    assert encoding("matroska", None, None, None).codec == "libx264"
    assert encoding("webm", None, None, None).codec == "libvpx-vp9"
    assert encoding("yuv4mpegpipe", None, None, None).codec == "rawvideo"
    assert encoding("mp4", "libx265", 0, "slow").options["crf"] == "0"
    assert encoding("mp4", "vp9", None, "2") == encoding("mp4", "libvpx-vp9", 24, "2")
    assert encoding("mp4", "vp9", None, "2").options["cpu-used"] == "2"
    assert [encoding("mp4", name, None, None).codec for name in ("h264", "hevc", "h265", "av1")] == [
        "libx264",
        "libx265",
        "libx265",
        "libsvtav1",
    ]


@pytest.mark.parametrize(
    ("codec", "crf", "preset", "message"),
    [
        ("h264_nvenc", None, None, "unknown encoder 'h264_nvenc'; choose one of h264, .*libx264, libx265"),
        ("h264", 60, None, "libx264 takes --crf 0 .best. to 51 .smallest., not 60"),
        ("av1", 64, None, "to 63"),
        ("h264", None, "sluggish", "libx264 takes --preset ultrafast, .*slower, veryslow or placebo, not 'sluggish'"),
        ("av1", None, "0", "2 .best. to 13 .fastest., not '0'"),
        ("rawvideo", 20, None, "rawvideo has no --crf"),
    ],
)
def test_encodings_that_cannot_be(codec: str, crf: int | None, preset: str | None, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        encoding("mp4", codec, crf, preset)


def test_metadata_that_would_be_wrong_are_dropped() -> None:
    metadata = {"title": "x", "ENCODER": "y", "DURATION": "z", "major_brand": "isom", "BPS": "1"}
    assert lasting_metadata(metadata) == {"title": "x", "BPS": "1"}
    assert lasting_metadata(metadata, upscaled=True) == {"title": "x"}


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("rtsp://u:p@host:554/live?key=1", "rtsp://host:554/live"),
        ("http://host/a.mp4", "http://host/a.mp4"),
        ("/films/a?b.mp4", "/films/a?b.mp4"),
        ("C:\\films\\a.mp4", "C:\\films\\a.mp4"),
    ],
)
def test_what_is_shown_of_a_url(url: str, plain: str) -> None:
    assert display_name(url) == plain
