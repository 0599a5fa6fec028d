from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from av.codec.context import Flags

from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.packet import Packet
from esr_upscale.errors import CodecOptionError, LimitError, MediaDataError, UnsupportedFormatError
from esr_upscale.frame import Frame
from esr_upscale.media.decode import DECODERS, Decoder, DecoderSettings

INTERLACED = Flags.interlaced_dct | Flags.interlaced_me
STREAMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "h264 with B-frames": ("libx264", "h264", {"options": {"preset": "veryfast", "bf": "3"}, "count": 12}),
    "h264 with extradata": ("libx264", "h264", {"options": {"preset": "veryfast"}, "global_header": True}),
    "h264 gray": ("libx264", "h264", {"options": {"preset": "veryfast"}, "fmt": "gray"}),
    "h264 10 bit 4:2:2": ("libx264", "h264", {"options": {"preset": "veryfast"}, "fmt": "yuv422p10le"}),
    "h264 4:4:4": ("libx264", "h264", {"options": {"preset": "veryfast"}, "fmt": "yuv444p", "size": (33, 17)}),
    "h264 interlaced": ("libx264", "h264", {"options": {"preset": "veryfast", "flags": "+ildct+ilme"}}),
    "hevc 10 bit": ("libx265", "hevc", {"options": {"preset": "ultrafast"}, "fmt": "yuv420p10le"}),
    "vp8": ("libvpx", "vp8", {"options": {"deadline": "realtime"}}),
    "vp9 of odd size": ("libvpx-vp9", "vp9", {"options": {"deadline": "realtime"}, "size": (33, 17)}),
    "av1": ("libsvtav1", "av1", {"options": {"preset": "12"}, "size": (64, 64)}),
    "mpeg2 interlaced": (
        "mpeg2video",
        "mpeg2video",
        {"time_base": Fraction(1, 25), "flags": Flags.interlaced_dct | Flags.interlaced_me},
    ),
    "mpeg4": ("mpeg4", "mpeg4", {"time_base": Fraction(1, 25)}),
    "mjpeg": ("mjpeg", "mjpeg", {"fmt": "yuvj420p", "size": (33, 17)}),
}
VARIABLE = [-9000, -8000, 0, 10, 3600, 3601, 90000, 90001, 900000, 900900, 950000, 1000000]


def settings_for(clip: SimpleNamespace, **changes: object) -> DecoderSettings:
    return replace(DecoderSettings(clip.codec, clip.time_base, clip.extradata), **changes)  # type: ignore[arg-type]


def run(decoder: Decoder, packets: list[Packet]) -> list[Frame]:
    frames = [frame for packet in packets for frame in decoder.push(packet)]
    return frames + list(decoder.flush())


def assert_same_pictures(frames: list[Frame], pictures: list[tuple[np.ndarray, ...]]) -> None:
    assert len(frames) == len(pictures)
    for frame, planes in zip(frames, pictures, strict=True):
        for actual, want in zip(frame.planes, planes, strict=True):
            np.testing.assert_array_equal(actual, want)


@pytest.mark.parametrize("name", STREAMS)
def test_every_codec_decodes_to_the_bit_with_exact_pts(samples: SimpleNamespace, name: str) -> None:
    encoder, codec, arguments = STREAMS[name]
    count = arguments.get("count", 6)
    # MPEG-2 and MPEG-4 encoders insist on a frame rate.
    pts = list(range(-3, count - 3)) if "time_base" in arguments else VARIABLE[:count]
    clip = samples.clip(encoder, codec, pts=pts, **{"count": count, **arguments})
    frames = run(Decoder(settings_for(clip)), clip.packets)
    assert_same_pictures(frames, clip.pictures)
    assert [frame.pts for frame in frames] == pts
    assert {frame.time_base for frame in frames} == {clip.time_base}
    assert {frame.interlaced for frame in frames} == {"interlaced" in name}
    assert not any(frame.corrupt for frame in frames)


def test_slice_threads_hold_back_no_more_frames(h264: SimpleNamespace) -> None:
    arrivals = []
    for threads in (1, 4):
        decoder = Decoder(settings_for(h264, threads=threads))
        arrivals.append([len(list(decoder.push(packet))) for packet in h264.packets])
    assert arrivals[0] == arrivals[1]


def test_without_reordering_there_is_no_delay(samples: SimpleNamespace) -> None:
    low_delay = {"preset": "veryfast", "tune": "zerolatency"}
    for clip in (
        samples.clip("libx264", "h264", options=low_delay),
        samples.clip("libsvtav1", "av1", options={"preset": "12", "svtav1-params": "pred-struct=1"}, size=(64, 64)),
    ):
        decoder = Decoder(settings_for(clip, threads=4))
        assert [len(list(decoder.push(packet))) for packet in clip.packets] == [1] * 6
        assert list(decoder.flush()) == []


def test_missing_pts_stay_missing(h264: SimpleNamespace) -> None:
    packets = [replace(packet, pts=None, dts=None, duration=None) for packet in h264.packets]
    frames = run(Decoder(settings_for(h264)), packets)
    assert [(frame.pts, frame.duration) for frame in frames] == [(None, None)] * 12


def test_frames_outlive_the_decoder(h264: SimpleNamespace) -> None:
    frames = run(Decoder(settings_for(h264)), h264.packets)
    assert_same_pictures(frames, h264.pictures)


def test_a_decoder_begins_anew_after_a_flush(h264: SimpleNamespace) -> None:
    decoder = Decoder(settings_for(h264))
    assert list(decoder.flush()) == []
    for _ in range(2):
        assert_same_pictures(run(decoder, h264.packets), h264.pictures)
    assert list(decoder.flush()) == []


def test_colour_aspect_and_rotation(samples: SimpleNamespace) -> None:
    tagged = {"color_range": 1, "color_primaries": 9, "color_trc": 16, "colorspace": 9}
    clip = samples.clip(
        "libx264",
        "h264",
        options={"preset": "ultrafast"},
        attributes={**tagged, "sample_aspect_ratio": Fraction(4, 3)},
    )
    (frame, *_) = run(Decoder(settings_for(clip)), clip.packets)
    # PyAV 18 cannot read the siting; 19 says what H.264 means without a word.
    assert frame.color.chroma_location in (ChromaLocation.UNSPECIFIED, ChromaLocation.LEFT)
    assert replace(frame.color, chroma_location=ChromaLocation.UNSPECIFIED) == Color(ColorRange.LIMITED, 9, 16, 9)
    assert frame.sample_aspect_ratio == Fraction(4, 3)
    outside = Color(ColorRange.UNSPECIFIED, 1, 2, 1, ChromaLocation.TOPLEFT)
    settings = settings_for(clip, color=outside, sample_aspect_ratio=Fraction(2), rotation=-90)
    (frame, *_) = run(Decoder(settings), clip.packets)
    assert frame.color == Color(ColorRange.LIMITED, 1, 16, 1, ChromaLocation.TOPLEFT)
    assert (frame.sample_aspect_ratio, frame.rotation) == (Fraction(2), -90)


def test_jpeg_is_full_range_with_centred_chroma(samples: SimpleNamespace) -> None:
    clip = samples.clip("mjpeg", "mjpeg", fmt="yuvj420p", count=1)
    (frame,) = run(Decoder(settings_for(clip)), clip.packets)
    assert frame.color.range is ColorRange.FULL
    assert frame.color.chroma_location is ChromaLocation.CENTER
    assert frame.sample_aspect_ratio is None or frame.sample_aspect_ratio == 1


# ---- changes in mid-stream ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("h264", "libx264"), ("vp8", "libvpx"), ("vp9", "libvpx-vp9"), ("mjpeg", "mjpeg")])
def test_a_change_of_size_is_followed(samples: SimpleNamespace, names: tuple[str, str]) -> None:
    codec, encoder = names
    fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clips = [samples.clip(encoder, codec, size=size, fmt=fmt, count=4) for size in ((64, 48), (96, 80), (32, 32))]
    frames = run(Decoder(settings_for(clips[0])), [packet for clip in clips for packet in clip.packets])
    assert [(frame.width, frame.height) for frame in frames] == [(64, 48)] * 4 + [(96, 80)] * 4 + [(32, 32)] * 4
    assert_same_pictures(frames, [planes for clip in clips for planes in clip.pictures])


def test_new_extradata_takes_effect_and_loses_no_frame(samples: SimpleNamespace) -> None:
    options = {"preset": "veryfast", "bf": "2"}
    first, second = (
        samples.clip("libx264", "h264", size=size, options=options, global_header=True) for size in ((64, 48), (96, 80))
    )
    packets = [*first.packets, replace(second.packets[0], new_extradata=second.extradata), *second.packets[1:]]
    frames = run(Decoder(settings_for(first)), packets)
    assert_same_pictures(frames, first.pictures + second.pictures)


def test_extradata_with_the_first_packet_and_later(samples: SimpleNamespace) -> None:
    clip = samples.clip("libx264", "h264", options={"preset": "veryfast"}, global_header=True)
    packets = [replace(packet, new_extradata=clip.extradata) for packet in clip.packets]
    assert_same_pictures(run(Decoder(settings_for(clip, extradata=b"")), packets), clip.pictures)


# ---- damage ---------------------------------------------------------------------------------------------------------


def collect(decoder: Decoder, packets: list[Packet]) -> tuple[list[int | None], str]:
    """The pts of all frames that came, and the error that ended it."""
    arrived: list[int | None] = []
    try:
        for packet in packets:
            for frame in decoder.push(packet):
                arrived.append(frame.pts)
        arrived.extend(frame.pts for frame in decoder.flush())
    except MediaDataError as error:
        return arrived, str(error)
    return arrived, ""


UNREADABLE = {"empty": b"", "one byte": b"\x93", "garbage": b"\x93\x17garb" * 40}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_frames_before_a_bad_packet_then_its_number(h264: SimpleNamespace, data: bytes) -> None:
    packets = [*h264.packets]
    packets[7] = replace(packets[7], data=data)
    before = sorted(packet.pts for packet in packets[:7])
    arrived, message = collect(Decoder(settings_for(h264)), packets)
    assert arrived == before
    assert message.startswith("packet 7")


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("names", [("vp8", "libvpx"), ("mpeg4", "mpeg4"), ("mjpeg", "mjpeg"), ("av1", "libsvtav1")])
def test_bad_packets_are_passed_over_and_counted(samples: SimpleNamespace, names: tuple[str, str], data: bytes) -> None:
    codec, encoder = names
    options = {"preset": "12"} if codec == "av1" else {}
    fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = samples.clip(encoder, codec, size=(64, 64), fmt=fmt, options=options, time_base=Fraction(1, 25))
    packets = [*clip.packets]
    packets[2] = replace(packets[2], data=data)
    decoder = Decoder(settings_for(clip, skip_undecodable=True))
    arrived, message = collect(decoder, packets)
    assert (arrived, message) == ([0, 1, 3, 4, 5], "")
    assert decoder.packets_skipped == 1


def test_a_damaged_picture_is_delivered_and_flagged(samples: SimpleNamespace) -> None:
    clip = samples.clip("libx264", "h264", size=(256, 256), options={"preset": "ultrafast", "qp": "15"})
    packets = [*clip.packets]
    packets[2] = replace(packets[2], data=packets[2].data[: len(packets[2].data) // 2])
    frames = run(Decoder(settings_for(clip)), packets)
    assert [frame.pts for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [frame.corrupt for frame in frames] == [False, False, True, False, False, False]


def test_a_truncated_stream_gives_what_was_there(h264: SimpleNamespace) -> None:
    arrived, message = collect(Decoder(settings_for(h264)), h264.packets[:5])
    assert arrived == sorted(packet.pts for packet in h264.packets[:5])
    assert message == ""


@pytest.mark.parametrize("codec", DECODERS)
def test_noise_never_raises_anything_foreign(samples: SimpleNamespace, codec: str) -> None:
    noise = samples.noise(6000)
    packets = [Packet(noise[k : k + 300], k, k) for k in range(0, len(noise), 300)]
    for skip in (True, False):
        decoder = Decoder(DecoderSettings(codec, Fraction(1, 25), max_pixels=1 << 16, skip_undecodable=skip))
        for packet in packets:
            with contextlib.suppress(MediaDataError, LimitError):
                list(decoder.push(packet))
        list(decoder.flush())


def test_unreadable_extradata_is_refused_at_once() -> None:
    with pytest.raises(MediaDataError, match=r"hevc decoder does not open with this extradata \(60 bytes\)"):
        Decoder(DecoderSettings("hevc", Fraction(1, 25), b"\x01" * 60))


def test_extradata_of_another_codec_is_a_media_error(samples: SimpleNamespace) -> None:
    avc = samples.clip("libx264", "h264", global_header=True, options={"preset": "ultrafast"})
    with pytest.raises(MediaDataError, match="packet 0"):
        run(Decoder(DecoderSettings("vp9", avc.time_base, avc.extradata)), avc.packets)


def test_another_codec_is_refused_with_the_list() -> None:
    with pytest.raises(CodecOptionError, match=r"'prores'.*h264, hevc, vp8, vp9, av1, mpeg2video, mpeg4, mjpeg"):
        Decoder(DecoderSettings("prores", Fraction(1, 25)))


def test_a_format_outside_the_table_is_refused(samples: SimpleNamespace) -> None:
    clip = samples.clip("libx264", "h264", fmt="yuv420p", options={"preset": "ultrafast"})
    jpeg = samples.clip("mjpeg", "mjpeg", fmt="yuvj420p", count=1).packets[0].data
    # The sampling factors of the first component, in the frame header: 2x2 becomes 1x2, which is 4:4:0.
    at = jpeg.index(b"\xff\xc0") + 11
    assert jpeg[at] == 0x22
    packets = [Packet(jpeg[:at] + b"\x12" + jpeg[at + 1 :], 0)]
    with pytest.raises(UnsupportedFormatError, match="yuvj440p"):
        run(Decoder(DecoderSettings("mjpeg", clip.time_base)), packets)


# ---- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMS)
def test_max_pixels_is_exact(samples: SimpleNamespace, name: str) -> None:
    encoder, codec, arguments = STREAMS[name]
    clip = samples.clip(encoder, codec, **arguments)
    width, height = arguments.get("size", (64, 48))
    frames = run(Decoder(settings_for(clip, max_pixels=width * height)), clip.packets)
    assert len(frames) == len(clip.pictures)
    with pytest.raises(LimitError, match=f"{width}x{height}.*{width * height - 1} pixels"):
        run(Decoder(settings_for(clip, max_pixels=width * height - 1)), clip.packets)


def huge_vp8(packet: Packet) -> Packet:
    """The same key frame, claiming the largest size that its header can say."""
    return replace(packet, data=packet.data[:6] + b"\xff\x3f\xff\x3f" + packet.data[10:])


def huge_jpeg(packet: Packet) -> Packet:
    """The same, with enough data behind it for the decoder to believe the size."""
    at = packet.data.index(b"\xff\xc0") + 5
    return replace(packet, data=packet.data[:at] + b"\x20\x00\x20\x00" + packet.data[at + 4 :] + bytes(1 << 21))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("names", "enlarge"), [(("vp8", "libvpx"), huge_vp8), (("mjpeg", "mjpeg"), huge_jpeg)], ids=["vp8", "mjpeg"]
)
def test_a_large_picture_is_refused_unallocated(
    samples: SimpleNamespace, names: tuple[str, str], enlarge: Callable[[Packet], Packet], skip: bool
) -> None:
    codec, encoder = names
    clip = samples.clip(encoder, codec, fmt="yuvj420p" if codec == "mjpeg" else "yuv420p", count=1)
    decoder = Decoder(settings_for(clip, max_pixels=1920 * 1080, skip_undecodable=skip))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LimitError, match=f"packet 0 .*at most {1920 * 1080} pixels"):
        list(decoder.push(enlarge(clip.packets[0])))
    # 8192x8192 in 4:2:0 are 100 MB; ru_maxrss counts KiB on Linux and bytes elsewhere, either is enough here.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_hevc_over_the_limit_is_refused_with_its_size(samples: SimpleNamespace) -> None:
    clip = samples.clip("libx265", "hevc", size=(2048, 1088), count=1, options={"preset": "ultrafast"})
    with pytest.raises(LimitError, match="packet 0 holds a picture of 2048x1088"):
        run(Decoder(settings_for(clip, max_pixels=64 * 64)), clip.packets)
