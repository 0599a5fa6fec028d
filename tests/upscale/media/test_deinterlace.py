from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from esr_media.color import Color, ColorRange
from esr_media.formats import PIXEL_FORMATS, ColorModel
from esr_upscale.errors import CodecOptionError, EngineError, InterlacedError, UnsupportedFormatError
from esr_upscale.frame import Frame
from esr_upscale.media import deinterlace
from esr_upscale.media.decode import Decoder, DecoderSettings
from esr_upscale.media.deinterlace import DEINTERLACERS, Deinterlacer, FrameStage, RefuseInterlaced, deinterlacer

VARIABLE = [-9000, -8000, 0, None, 3600, 3601, 90000, None]
YCBCR = [name for name, fmt in PIXEL_FORMATS.items() if fmt.model is not ColorModel.RGB]


def run(stage: FrameStage, frames: Sequence[Frame]) -> list[Frame]:
    out = [output for frame in frames for output in stage.push(frame)]
    return out + list(stage.flush())


def woven(samples: SimpleNamespace, count: int, size: tuple[int, int] = (48, 32), fmt: str = "yuv420p") -> list[Frame]:
    """Interlaced frames, each of two moments."""
    frames = []
    for index in range(count):
        first, second = (samples.picture(2 * index + field, *size, fmt) for field in range(2))
        planes = tuple(plane.copy() for plane in first.planes)
        for plane, other in zip(planes, second.planes, strict=True):
            plane[1::2] = other[1::2]
        frames.append(replace(first, planes=planes, pts=index, interlaced=True))
    return frames


def combing(plane: NDArray[Any]) -> float:
    """How much neighbouring lines differ against lines of one field."""
    lines = plane.astype(np.float64)
    return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean())


@pytest.mark.parametrize("fmt", YCBCR)
def test_each_frame_keeps_its_time_tags_and_format(samples: SimpleNamespace, fmt: str) -> None:
    color = Color(ColorRange.LIMITED, 9, 16, 9)
    frames = [
        replace(frame, pts=pts, duration=7 + n, time_base=Fraction(1, 12345), color=color, rotation=90, corrupt=n == 2)
        for n, (frame, pts) in enumerate(zip(woven(samples, 8, (33, 18), fmt), VARIABLE, strict=True))
    ]
    outputs = run(Deinterlacer(), frames)
    assert len(outputs) == len(frames)
    for output, source in zip(outputs, frames, strict=True):
        want = replace(source, planes=output.planes, interlaced=False)
        names = [name for name in Frame.__dataclass_fields__ if name != "planes"]
        assert [getattr(output, name) for name in names] == [getattr(want, name) for name in names]


@pytest.mark.parametrize("fmt", ["yuv420p", "nv12", "p010le", "gray"])
def test_fields_are_no_longer_woven(samples: SimpleNamespace, fmt: str) -> None:
    frames = woven(samples, 6, fmt=fmt)
    outputs = run(Deinterlacer(), frames)
    assert max(combing(frame.planes[0]) for frame in outputs) < min(combing(frame.planes[0]) for frame in frames) / 3
    # One field stays as it was.
    for output, source in zip(outputs, frames, strict=True):
        np.testing.assert_array_equal(output.planes[0][::2], source.planes[0][::2])


def test_semi_planar_as_their_planar_twins(samples: SimpleNamespace) -> None:
    planar = woven(samples, 4)
    semi = [
        replace(
            frame,
            format=PIXEL_FORMATS["nv12"],
            planes=(frame.planes[0], np.stack(frame.planes[1:], axis=-1).reshape(16, -1)),
        )
        for frame in planar
    ]
    for actual, want in zip(run(Deinterlacer(), semi), run(Deinterlacer(), planar), strict=True):
        np.testing.assert_array_equal(actual.planes[0], want.planes[0])
        np.testing.assert_array_equal(actual.planes[1][:, 0::2], want.planes[1])
        np.testing.assert_array_equal(actual.planes[1][:, 1::2], want.planes[2])


def test_progressive_frames_pass_untouched_and_at_once(samples: SimpleNamespace) -> None:
    stage = Deinterlacer()
    frames = [samples.picture(n, 48, 32, "yuv420p") for n in range(3)]
    assert [list(stage.push(frame)) for frame in frames] == [[frame] for frame in frames]
    assert list(stage.flush()) == []


def test_progressive_frames_pass_in_their_place(samples: SimpleNamespace) -> None:
    frames = [replace(f, interlaced=n in (1, 2, 5)) for n, f in enumerate(woven(samples, 7))]
    outputs = run(Deinterlacer(), frames)
    assert [frame.pts for frame in outputs] == list(range(7))
    assert [output is source for output, source in zip(outputs, frames, strict=True)] == [
        not frame.interlaced for frame in frames
    ]


def test_a_change_of_size_or_format_loses_nothing(samples: SimpleNamespace) -> None:
    parts = [woven(samples, 3), woven(samples, 2, (32, 48)), woven(samples, 3, (32, 48), "yuv422p")]
    frames = [frame for part in parts for frame in part]
    outputs = run(Deinterlacer(), frames)
    assert [(f.width, f.height, f.format.name, f.pts) for f in outputs] == [
        (f.width, f.height, f.format.name, f.pts) for f in frames
    ]
    assert not any(frame.interlaced for frame in outputs)


def test_one_frame_alone_comes_out(samples: SimpleNamespace) -> None:
    (frame,) = run(Deinterlacer(), woven(samples, 1))
    assert not frame.interlaced


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_decoded_frames_as_ffmpeg_takes_them(samples: SimpleNamespace, order: str) -> None:
    # The order of fields is known to the decoder alone: this proves that it reaches the filter.
    options = {"preset": "veryfast", "flags": "+ildct+ilme", "x264-params": f"{order}=1"}
    clip = samples.clip("libx264", "h264", options=options, count=8, size=(64, 64))
    outputs = run(Deinterlacer(), decoded(clip))
    want = ffmpeg_bwdif(clip)
    assert len(outputs) == len(want) == 8
    for output, planes in zip(outputs, want, strict=True):
        for plane, other in zip(output.planes, planes, strict=True):
            np.testing.assert_array_equal(plane, other)


def decoded(clip: SimpleNamespace) -> list[Frame]:
    decoder = Decoder(DecoderSettings(clip.codec, clip.time_base, clip.extradata))
    frames = [frame for packet in clip.packets for frame in decoder.push(packet)]
    return frames + list(decoder.flush())


def ffmpeg_bwdif(clip: SimpleNamespace) -> list[list[NDArray[Any]]]:
    """The planes of FFmpeg's decoder and filter joined without the code under test."""
    context: Any = av.CodecContext.create(clip.codec, "r")
    frames = []
    for packet in clip.packets:
        carrier: Any = av.Packet(len(packet.data))
        carrier.update(packet.data)
        frames += context.decode(carrier)
    frames += context.decode(None)
    graph = av.filter.Graph()
    source = graph.add("buffer", video_size="64x64", pix_fmt="yuv420p", time_base="1/25")
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    out: list[list[NDArray[Any]]] = []
    for n, frame in enumerate([*frames, None]):
        if frame is not None:
            frame.pts = n
        graph.vpush(frame)
        while True:
            try:
                picture = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            image = picture.to_ndarray()
            out.append([image[:64], image[64:80].reshape(32, 32), image[80:].reshape(32, 32)])
    return out


def test_interlaced_frames_are_refused_with_the_remedy(samples: SimpleNamespace) -> None:
    stage = RefuseInterlaced()
    progressive = samples.picture(0, 16, 16, "yuv420p")
    assert list(stage.push(progressive)) == [progressive]
    with pytest.raises(InterlacedError, match=r"pts 5 is interlaced.*--deinterlace bwdif"):
        list(stage.push(replace(progressive, pts=5, interlaced=True)))
    assert list(stage.flush()) == []


def test_what_bwdif_cannot_take_is_refused(samples: SimpleNamespace) -> None:
    with pytest.raises(UnsupportedFormatError, match="rgb24"):
        list(Deinterlacer().push(replace(samples.picture(0, 16, 16, "rgb24"), interlaced=True)))
    with pytest.raises(InterlacedError, match="at least 3x4, not 2x2"):
        list(Deinterlacer().push(replace(samples.picture(0, 2, 2, "yuv420p"), interlaced=True)))


def test_the_table_of_names() -> None:
    assert set(DEINTERLACERS) == {"", "bwdif"}
    assert isinstance(deinterlacer(""), RefuseInterlaced)
    assert isinstance(deinterlacer("bwdif"), Deinterlacer)
    with pytest.raises(CodecOptionError, match=r"'yadif'.*'bwdif'"):
        deinterlacer("yadif")


class SwallowingGraph:
    """A test double: a filter that gives nothing back, which the real one never did."""

    def vpush(self, _frame: Any) -> None:
        """Keep the frame."""

    def vpull(self) -> Any:
        """Give none."""
        raise av.error.EOFError(0, "end of file")


def test_a_frame_that_the_filter_keeps_is_an_error(samples: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deinterlace, "_bwdif", lambda *_: SwallowingGraph())
    stage = Deinterlacer()
    frame = replace(samples.picture(0, 64, 48, "yuv420p"), interlaced=True)
    assert list(stage.push(frame)) == []
    with pytest.raises(EngineError, match="the bwdif filter kept 1 frames"):
        list(stage.flush())
