from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.error import InvalidDataError
from av.video.codeccontext import VideoCodecContext

from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.limits import TIME_MAX
from esr_media.packet import Packet
from esr_upscale.errors import CodecOptionError, EngineError, FormatChangeError, FrameError
from esr_upscale.frame import Frame
from esr_upscale.media.decode import Decoder, DecoderSettings
from esr_upscale.media.encode import EncodedFrame, Encoder, EncoderSettings
from esr_upscale.media.encoders import ENCODERS
from tests.support.threads import count, policies
from tests.support.waiting import eventually

TIME_BASE = Fraction(1, 90000)
VARIABLE = [-9000, -8000, 0, 10, 3600, 3601, 90000, 90001, 900000, 900900]
FAST: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "bf": "3"},
    "libx265": {"preset": "ultrafast"},
    "libsvtav1": {"preset": "10"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
LOSSLESS = {
    "libx264": {"preset": "ultrafast", "qp": "0"},
    "libvpx-vp9": {"lossless": "1", "deadline": "realtime", "cpu-used": "8"},
}
DECODERS = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "av1", "libvpx-vp9": "vp9"}


@pytest.fixture(autouse=True)
def quiet_svt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "1")


def run(encoder: Encoder, frames: list[Frame]) -> list[EncodedFrame]:
    return [made for frame in frames for made in encoder.push(frame)] + encoder.flush()


def settings_for(codec: str, **changes: Any) -> EncoderSettings:
    return replace(EncoderSettings(codec, FAST[codec], threads=1), **changes)


def decoded(codec: str, packets: list[Packet], extradata: bytes = b"") -> list[Frame]:
    decoder = Decoder(DecoderSettings(DECODERS[codec], TIME_BASE, extradata))
    return [frame for packet in packets for frame in decoder.push(packet)] + list(decoder.flush())


def pictures(samples: SimpleNamespace, pts: list[Any], size: tuple[int, int] = (64, 80), fmt: str = "yuv420p") -> Any:
    return [replace(samples.picture(n, *size, fmt), pts=at, duration=n + 5) for n, at in enumerate(pts)]


@pytest.mark.parametrize("codec", ENCODERS)
def test_a_packet_has_the_time_and_number_of_its_frame(samples: SimpleNamespace, codec: str) -> None:
    made = run(Encoder(settings_for(codec)), pictures(samples, VARIABLE))
    assert sorted(item.index for item in made) == list(range(len(VARIABLE)))
    assert {item.index: item.packet.pts for item in made} == dict(enumerate(VARIABLE))
    assert [item.packet.duration for item in made] == [item.index + 5 for item in made]
    order = [item.packet.dts for item in made if item.packet.dts is not None]
    assert order == sorted(set(order))
    assert len(order) == len(made)
    assert all(dts <= item.packet.pts for dts, item in zip(order, made, strict=True) if item.packet.pts is not None)
    assert made[0].packet.is_keyframe
    assert [frame.pts for frame in decoded(codec, [item.packet for item in made])] == VARIABLE


@pytest.mark.parametrize("codec", ENCODERS)
def test_headers_come_once_with_the_first_packet(samples: SimpleNamespace, codec: str) -> None:
    made = run(Encoder(settings_for(codec, global_header=True)), pictures(samples, VARIABLE))
    first, *others = [item.packet.new_extradata for item in made]
    assert not any(others)
    assert bool(first) == (codec != "libvpx-vp9")  # VP9 has its headers in every frame
    packets = [replace(item.packet, new_extradata=b"") for item in made]
    assert len(decoded(codec, packets, first)) == len(VARIABLE)
    inline = run(Encoder(settings_for(codec)), pictures(samples, VARIABLE))
    assert not any(item.packet.new_extradata for item in inline)


X264 = [
    "gray",
    "gray10le",
    "yuv420p",
    "yuvj420p",
    "nv12",
    "yuv422p",
    "yuv444p",
    "yuv420p10le",
    "p010le",
    "yuv422p10le",
    "yuv444p10le",
]
VP9 = ["gray", "yuv420p", "yuvj420p", "nv12", "yuv422p", "yuv444p"]
ROUND_TRIPS = [("libx264", fmt) for fmt in X264] + [("libvpx-vp9", fmt) for fmt in VP9]


@pytest.mark.parametrize(("codec", "fmt"), ROUND_TRIPS)
def test_lossless_encoding_changes_no_sample(samples: SimpleNamespace, codec: str, fmt: str) -> None:
    frames = pictures(samples, [0, 1, 2], fmt=fmt)
    made = run(Encoder(settings_for(codec, options=LOSSLESS[codec])), frames)
    back = decoded(codec, [item.packet for item in made])
    assert len(back) == 3
    for got, sent in zip(back, frames, strict=True):
        assert got.format.depth == sent.format.depth
        for plane, want in zip(components(got), components(sent), strict=False):
            np.testing.assert_array_equal(plane, want)
        if len(sent.planes) == 1:
            assert all((plane == 1 << (got.format.depth - 1)).all() for plane in got.planes[1:])


def components(frame: Frame) -> Iterator[Any]:
    for plane, layout in zip(frame.planes, frame.format.planes, strict=True):
        for k in range(len(layout.components)):
            yield plane[:, k :: len(layout.components)] >> frame.format.lsb


@pytest.mark.parametrize(
    ("codec", "size"),
    [("libsvtav1", (65, 67)), ("libsvtav1", (66, 67)), ("libvpx-vp9", (33, 17)), ("libvpx-vp9", (1, 1))],
    ids=str,
)
def test_odd_sizes_where_the_codec_has_them(samples: SimpleNamespace, codec: str, size: tuple[int, int]) -> None:
    made = run(Encoder(settings_for(codec)), pictures(samples, [0, 1], size))
    assert [(frame.width, frame.height) for frame in decoded(codec, [item.packet for item in made])] == [size] * 2


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize(
    ("size", "fmt", "step"), [((65, 66), "yuv420p", "2x2"), ((66, 65), "nv12", "2x2"), ((65, 66), "yuv422p", "2x1")]
)
def test_odd_sizes_where_the_codec_lacks_them(
    samples: SimpleNamespace, codec: str, size: tuple[int, int], fmt: str, step: str
) -> None:
    with pytest.raises(CodecOptionError, match=rf"{codec} takes .* multiples of {step}, not {size[0]}x{size[1]}"):
        Encoder(settings_for(codec)).push(samples.picture(0, *size, fmt))
    made = run(Encoder(settings_for(codec)), pictures(samples, [0, 1], (65, 67), "yuv444p"))
    assert len(made) == 2


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1"])
def test_sizes_at_which_an_encoder_breaks_are_refused(samples: SimpleNamespace, codec: str) -> None:
    with pytest.raises(CodecOptionError, match=f"{codec} takes sizes from 64x64 on, not 64x62"):
        Encoder(settings_for(codec)).push(samples.picture(0, 64, 62, "yuv420p"))
    assert len(run(Encoder(settings_for(codec)), pictures(samples, [0, 1, 2], (64, 64)))) == 3


# ---- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pts", "durations", "rate", "want"),
    [
        ([None, None, None], [None] * 3, None, [0, 1, 2]),
        ([None, None, None], [7, 8, 9], None, [0, 7, 15]),
        ([None, None, None], [None] * 3, Fraction(25), [0, 3600, 7200]),
        ([None, None, None], [None] * 3, Fraction(1_000_000), [0, 1, 2]),
        ([100, 200, None, 450], [None] * 4, None, [100, 200, 300, 450]),
        ([-50, None, 90], [40, 40, 40], Fraction(25), [-50, -10, 90]),
    ],
)
def test_missing_pts_are_continued(
    samples: SimpleNamespace, pts: list[Any], durations: list[Any], rate: Fraction | None, want: list[int]
) -> None:
    frames = [
        replace(frame, duration=duration) for frame, duration in zip(pictures(samples, pts), durations, strict=True)
    ]
    made = run(Encoder(settings_for("libx264", frame_rate=rate)), frames)
    assert sorted(item.packet.pts or 0 for item in made) == want
    assert sorted(item.index for item in made) == list(range(len(want)))


@pytest.mark.parametrize("second", [100, 99])
def test_pts_that_do_not_increase_are_refused(samples: SimpleNamespace, second: int) -> None:
    encoder = Encoder(settings_for("libx264"))
    first, other = pictures(samples, [100, second])
    encoder.push(first)
    with pytest.raises(FrameError, match=f"frame 1 has pts {second}, which is not after 100"):
        encoder.push(other)


@pytest.mark.parametrize("codec", ENCODERS)
def test_time_bases_of_every_kind(samples: SimpleNamespace, codec: str) -> None:
    for time_base in (
        Fraction(1, 1000),
        Fraction(1001, 30000),
        Fraction(1, 25),
        Fraction(1, 14_112_000),
        Fraction(1, 10**9),
    ):
        frames = [replace(frame, time_base=time_base) for frame in pictures(samples, [0, 3, 4])]
        made = run(Encoder(settings_for(codec, frame_rate=Fraction(1000))), frames)
        assert sorted(item.packet.pts or 0 for item in made) == [0, 3, 4]


@pytest.mark.parametrize("time_base", [Fraction(1, 2**31 - 1), Fraction(2), Fraction(999_999_999, 10**9 + 7)], ids=str)
def test_vp9_time_bases_are_refused_at_once(samples: SimpleNamespace, time_base: Fraction) -> None:
    words = f"libvpx-vp9 takes time bases from 1/1000000000 to 1 s .*, not {time_base}; choose one such as 1/90000"
    with pytest.raises(CodecOptionError, match=words):
        Encoder(settings_for("libvpx-vp9", time_base=time_base))
    with pytest.raises(CodecOptionError, match=words):
        Encoder(settings_for("libvpx-vp9")).push(replace(samples.picture(0, 64, 80, "yuv420p"), time_base=time_base))


EXTREMES = [[0, TIME_MAX], [-TIME_MAX, TIME_MAX], [-TIME_MAX, -TIME_MAX + 1], [TIME_MAX - 1, TIME_MAX]]


@pytest.mark.parametrize("pts", EXTREMES, ids=str)
@pytest.mark.parametrize("time_base", [TIME_BASE, Fraction(1, 10**9), Fraction(1, 10**9 - 1)], ids=str)
@pytest.mark.parametrize("codec", ENCODERS)
def test_extreme_pts(samples: SimpleNamespace, codec: str, time_base: Fraction, pts: list[int]) -> None:
    frames = [replace(frame, time_base=time_base) for frame in pictures(samples, pts)]
    most = 2**63 // (10**7 * time_base).numerator - 2**31
    if codec == "libvpx-vp9" and pts[1] - pts[0] > most:
        with pytest.raises(FrameError, match=rf"frame 1 comes \d+ units of .* after the first; {codec} counts up to"):
            run(Encoder(settings_for(codec)), frames)
    else:
        assert sorted(item.packet.pts or 0 for item in run(Encoder(settings_for(codec)), frames)) == pts


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("rate", [Fraction(1, 2**31 - 1), Fraction(2**31 - 1), Fraction(2**31 - 1, 2**31 - 2)], ids=str)
def test_extreme_frame_rates(samples: SimpleNamespace, codec: str, rate: Fraction) -> None:
    frames = [replace(frame, time_base=Fraction(1, 10**9 - 1)) for frame in pictures(samples, [0, 1])]
    assert len(run(Encoder(settings_for(codec, frame_rate=rate)), frames)) == 2


def test_a_pts_that_cannot_be_continued_is_refused(samples: SimpleNamespace) -> None:
    first, second = pictures(samples, [1, None])
    encoder = Encoder(settings_for("libx264"))
    encoder.push(replace(first, duration=TIME_MAX))
    with pytest.raises(FrameError, match=rf"frame 1 has pts {2**62}; .* to {TIME_MAX}, .*shorter durations"):
        encoder.push(second)


# ---- release --------------------------------------------------------------------------------------------------------


class Cycle:
    """An object that only the garbage collector frees."""

    def __init__(self, *held: object) -> None:
        self.held = (self, *held)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_close_releases_native_threads(samples: SimpleNamespace, codec: str) -> None:
    """Its own error, with the frames of its traceback, and a cycle hold the encoder."""
    before = count()
    encoder = Encoder(EncoderSettings(codec, FAST[codec], threads=4))
    encoder.push(*pictures(samples, [5]))
    assert count() > before
    with pytest.raises(FrameError) as error_info:
        encoder.push(*pictures(samples, [4]))
    held = Cycle(encoder, error_info.value)
    encoder.close()
    assert eventually(lambda: count() == before), held


def _fail(context: VideoCodecContext, _frame: av.VideoFrame | None) -> None:
    del context  # PyAV's own method has no frame of Python's that would hold it
    raise InvalidDataError(1, "no packet")


@pytest.mark.usefixtures("no_collector")
def test_an_encoder_that_fails_is_released(samples: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is kept, and nothing calls `close`."""
    before = count()
    for fails_at_flush in (False, True):
        encoder = Encoder(EncoderSettings("libsvtav1", FAST["libsvtav1"]))
        encoder.push(*pictures(samples, [5]))
        assert count() > before
        frames = pictures(samples, [6])
        with monkeypatch.context() as patch:
            patch.setattr(VideoCodecContext, "encode", _fail)
            with pytest.raises(EngineError) as error_info:
                encoder.flush() if fails_at_flush else encoder.push(*frames)
        held = Cycle(error_info.value)
        assert eventually(lambda: count() == before), held


# ---- tags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_colour_tags_are_in_the_stream(samples: SimpleNamespace, codec: str) -> None:
    color = Color(ColorRange.LIMITED, 9, 16, 9)
    frames = [replace(frame, color=color, sample_aspect_ratio=Fraction(4, 3)) for frame in pictures(samples, [0, 1])]
    (back, _) = decoded(codec, [item.packet for item in run(Encoder(settings_for(codec)), frames)])
    # PyAV 18 cannot read the siting, and 19 can.
    assert replace(back.color, chroma_location=ChromaLocation.UNSPECIFIED) == color
    if codec != "libsvtav1":  # AV1 leaves it to the container
        assert back.sample_aspect_ratio == Fraction(4, 3)


def _slices(packet: Packet) -> int:
    """How many slices a picture of H.264 has, in Annex B: units of type 1 and 5 behind their start codes."""
    return sum(unit[0] & 31 in (1, 5) for unit in packet.data.split(b"\0\0\1")[1:])


@pytest.mark.parametrize(("options", "slices", "held_back"), [({}, 1, True), ({"tune": "zerolatency"}, 3, False)])
def test_x264_slices_only_where_it_must_not_wait(
    samples: SimpleNamespace, options: dict[str, str], slices: int, held_back: bool
) -> None:
    settings = EncoderSettings("libx264", {"preset": "ultrafast", "threads": "3", **options})
    encoder, frames = Encoder(settings), pictures(samples, list(range(8)), (320, 240))
    at_once = [made for frame in frames for made in encoder.push(frame)]
    assert (len(at_once) < 8) is held_back
    assert {_slices(made.packet) for made in [*at_once, *encoder.flush()]} == {slices}


@pytest.mark.parametrize("codec", list(FAST))
def test_encoder_threads_have_no_higher_priority(samples: SimpleNamespace, codec: str) -> None:
    """Where root runs this, SVT-AV1 takes real-time priority; elsewhere it may not, and there is nothing to undo."""
    run(Encoder(settings_for(codec)), pictures(samples, [0, 1]))
    encoder = Encoder(settings_for(codec))
    encoder.push(pictures(samples, [0])[0])
    assert policies() == {os.SCHED_OTHER}
    encoder.flush()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_yuvj420p_is_encoded_as_full_range(samples: SimpleNamespace, codec: str) -> None:
    made = run(Encoder(settings_for(codec)), pictures(samples, [0, 1], fmt="yuvj420p"))
    (back, _) = decoded(codec, [item.packet for item in made])
    assert back.color.range is ColorRange.FULL


@pytest.fixture
def logged() -> Iterator[list[tuple[int, str, str]]]:
    """FFmpeg's log of this thread."""
    level, repeated = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.INFO)
    av.logging.set_skip_repeated(False)
    with av.logging.Capture() as lines:
        yield lines
    av.logging.set_level(level)
    av.logging.set_skip_repeated(repeated)


@pytest.mark.parametrize("location", list(ChromaLocation)[1:], ids=lambda location: location.name)
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_chroma_siting_is_in_the_stream(
    samples: SimpleNamespace, logged: list[tuple[int, str, str]], codec: str, location: ChromaLocation
) -> None:
    frame = replace(samples.picture(0, 64, 80, "yuv420p"), color=Color(chroma_location=location))
    (made,) = run(Encoder(settings_for(codec)), [frame])
    logged.clear()
    BitStreamFilterContext("trace_headers", DECODERS[codec]).filter(av.Packet(made.packet.data))
    lines = [text for _, _, text in logged if "chroma_sample_loc_type_top_field" in text]
    # The standards count from 0, in the order of FFmpeg's names; left, their default, need not be there.
    assert [int(line.split()[-1]) for line in lines] in ([[location - 1]] + [[]] * (location == ChromaLocation.LEFT))


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": (96, 80)}, "96x80 yuv420p .* after 64x80 yuv420p"),
        ({"fmt": "yuv422p"}, "64x80 yuv422p .* after 64x80 yuv420p"),
    ],
)
def test_a_change_in_mid_stream_names_both(samples: SimpleNamespace, change: Any, words: str) -> None:
    encoder = Encoder(settings_for("libx264"))
    encoder.push(*pictures(samples, [0]))
    (other,) = pictures(samples, [1], **change)
    with pytest.raises(FormatChangeError, match=f"frame 1 is {words}"):
        encoder.push(other)
    assert len(encoder.flush()) == 1  # what came before is not lost


def test_a_change_of_time_base_is_refused(samples: SimpleNamespace) -> None:
    encoder = Encoder(settings_for("libx264"))
    first, other = pictures(samples, [0, 1])
    encoder.push(first)
    with pytest.raises(FormatChangeError, match=r"1/25 s after .* 1/90000 s"):
        encoder.push(replace(other, time_base=Fraction(1, 25)))


@pytest.mark.parametrize(
    ("codec", "fmt"), [("libx264", "rgb24"), ("libx265", "bgr24"), ("libsvtav1", "yuv444p"), ("libvpx-vp9", "rgb24")]
)
def test_formats_that_an_encoder_does_not_take(samples: SimpleNamespace, codec: str, fmt: str) -> None:
    with pytest.raises(CodecOptionError, match=f"{codec} takes .*yuv420p.*, not {fmt}; .*ask for raw frames"):
        Encoder(settings_for(codec)).push(samples.picture(0, 64, 80, fmt))


def test_an_encoder_outside_the_allow_list() -> None:
    with pytest.raises(CodecOptionError, match=r"'h264_nvenc'.*libx264, libx265, libsvtav1, libvpx-vp9"):
        Encoder(EncoderSettings("h264_nvenc"))


FORBIDDEN = ["x264-params", "x264opts", "x265-params", "svtav1-params", "stats", "x265-stats", "passlogfile", "pass"]


@pytest.mark.parametrize("option", [*FORBIDDEN, "flags", "time_base", "nonsense"])
@pytest.mark.parametrize("codec", ENCODERS)
def test_options_outside_the_allow_list(codec: str, option: str) -> None:
    with pytest.raises(CodecOptionError, match=f"{codec} has no option '{option}' here; it has: .*crf"):
        Encoder(EncoderSettings(codec, {option: "1"}))


@pytest.mark.parametrize(
    ("codec", "option", "value", "words"),
    [
        ("libx264", "crf", "99", "a number from 0 to 51, not '99'"),
        ("libx264", "crf", "nan", "a number"),
        ("libx264", "crf", "1_0", "a number"),
        ("libx264", "preset", "warp", "one of ultrafast"),
        ("libx264", "b", "4M;stats=1", "bits per second"),
        ("libx265", "g", "2.5", "a whole number"),
        ("libsvtav1", "preset", "14", "from 2 to 13"),
        ("libsvtav1", "preset", "1", "from 2 to 13"),
        ("libsvtav1", "preset", "-1", "from 2 to 13"),
        ("libvpx-vp9", "deadline", "", "best, good, realtime"),
        ("libx265", "threads", "17", "from 1 to 16"),
        ("libx264", "b", "2147483648", "up to 2147483647, such as 4000000"),
        ("libsvtav1", "bufsize", "2148M", "up to 2147483647"),
        ("libvpx-vp9", "minrate", "2147483.648k", "up to 2147483647"),
    ],
)
def test_values_that_are_not_right(codec: str, option: str, value: str, words: str) -> None:
    with pytest.raises(CodecOptionError, match=f"option '{option}' of {codec} is .*{words}"):
        Encoder(EncoderSettings(codec, {option: value}))


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx265", {"preset": "ultrafast", "bf": "16"}),
        ("libx265", {"refs": "16"}),
        ("libvpx-vp9", {"bufsize": "400k"}),
        ("libvpx-vp9", {"qmin": "30", "qmax": "20"}),
        ("libsvtav1", {"crf": "31", "b": "4M"}),
    ],
)
def test_options_are_tried_before_the_first_frame(codec: str, options: dict[str, str]) -> None:
    with pytest.raises(CodecOptionError, match=f"{codec} refuses the options .* together: .*; begin with crf"):
        Encoder(EncoderSettings(codec, options))


def test_the_trial_leaves_the_profile_to_the_frames(samples: SimpleNamespace) -> None:
    settings = EncoderSettings("libx265", {"preset": "ultrafast", "profile": "main10"})
    assert len(run(Encoder(settings), pictures(samples, [0, 1], fmt="yuv420p10le"))) == 2


def test_what_only_the_encoder_refuses_is_told(samples: SimpleNamespace) -> None:
    encoder = Encoder(EncoderSettings("libx264", {"profile": "baseline"}))
    with pytest.raises(CodecOptionError, match=r"libx264 refuses 64x80 yuv444p with options \{'profile': 'baseline'\}"):
        encoder.push(samples.picture(0, 64, 80, "yuv444p"))


OTHERS = {
    "libx264": {
        "tune": "grain",
        "level": "5.2",
        "rc-lookahead": "10",
        "aq-mode": "3",
        "aq-strength": "0.5",
        "refs": "2",
    }
    | {"sc_threshold": "0", "b_strategy": "2", "b-pyramid": "strict", "weightp": "0", "mbtree": "0", "aud": "1"}
    | {"forced-idr": "1", "b": "400k", "maxrate": "1M", "bufsize": "2M", "g": "12", "keyint_min": "3", "threads": "2"},
    "libx265": {"tune": "zerolatency", "profile": "main", "forced-idr": "1", "crf": "30", "g": "9", "refs": "2"},
    "libsvtav1": {"crf": "40", "g": "9", "threads": "1"},
    "libvpx-vp9": {"crf": "40", "b": "1M", "minrate": "1k", "lag-in-frames": "3", "auto-alt-ref": "0", "row-mt": "1"}
    | {"tile-columns": "1", "tile-rows": "1", "frame-parallel": "1", "aq-mode": "1", "tune-content": "film"},
}


@pytest.mark.parametrize("codec", ENCODERS)
def test_options_of_the_list_are_taken(samples: SimpleNamespace, codec: str) -> None:
    settings = settings_for(codec, options={**FAST[codec], **OTHERS[codec]})
    assert len(run(Encoder(settings), pictures(samples, [0, 1, 2]))) == 3


def test_an_option_does_what_it_says(samples: SimpleNamespace) -> None:
    sizes = []
    for crf in ("5", "50"):
        made = run(Encoder(settings_for("libx264", options={"crf": crf, "g": "2"})), pictures(samples, [0, 1, 2, 3]))
        assert sorted(item.index for item in made if item.packet.is_keyframe) == [0, 2]
        sizes.append(sum(len(item.packet.data) for item in made))
    assert sizes[0] > 2 * sizes[1]


def test_an_encoder_begins_anew_after_a_flush(samples: SimpleNamespace) -> None:
    encoder = Encoder(settings_for("libx264", global_header=True))
    assert encoder.flush() == []
    frames = pictures(samples, [0, 1, 2, 3])
    first, second = run(encoder, frames[:2]), run(encoder, frames[2:])
    assert first[0].packet.new_extradata == second[0].packet.new_extradata
    assert second[0].packet.is_keyframe
    assert sorted(item.index for item in first + second) == [0, 1, 2, 3]


@pytest.mark.parametrize("codec", ENCODERS)
def test_encoders_say_nothing_on_stderr(
    samples: SimpleNamespace, codec: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run(Encoder(settings_for(codec)), pictures(samples, [0, 1]))
    out, err = capfd.readouterr()
    if codec == "libsvtav1":  # it reads SVT_LOG once per process, maybe before this test set it
        err = "\n".join(line for line in err.splitlines() if not line.startswith("Svt["))
    assert (out, err) == ("", "")
