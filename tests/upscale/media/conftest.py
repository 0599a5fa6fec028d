"""Media for the tests, made with FFmpeg's own encoders and without the code under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import pytest
from av.codec.context import CodecContext, Flags
from av.packet import Packet as AvPacket
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from esr_media.packet import Packet
from esr_media.scheduling import ordinary_scheduling
from esr_upscale.frame import Frame, pixel_format

TIME_BASE = Fraction(1, 90000)


@dataclass(frozen=True)
class Clip:
    """An encoded stream and the planes of what FFmpeg itself decodes from it, by pts."""

    codec: str
    time_base: Fraction
    extradata: bytes = field(repr=False)
    packets: list[Packet] = field(repr=False)
    pictures: list[tuple[NDArray[Any], ...]] = field(repr=False)


def picture(index: int, width: int, height: int, fmt: str) -> Frame:
    """A frame of smooth moving content with all its code values legal, reproducible from `index`."""
    row = pixel_format(fmt)
    planes = []
    for number in range(len(row.planes)):
        rows, samples = row.plane_shape(number, width, height)
        y, x = np.mgrid[:rows, :samples]
        wave = 0.5 + 0.3 * np.sin((x + 3 * index) / 7.0 + number) + 0.15 * np.cos((y - 2 * index) / 5.0)
        planes.append((wave * ((1 << row.depth) - 1)).astype(row.dtype) << row.lsb)
    return Frame(row, width, height, tuple(planes), pts=index * 3600, duration=3600, time_base=TIME_BASE)


def av_picture(index: int, width: int, height: int, fmt: str, *, fill: Callable[..., Frame] = picture) -> VideoFrame:
    """The same as an FFmpeg frame, row by row, by a way that is not the one under test."""
    frame = fill(index, width, height, fmt)
    copy = VideoFrame(width, height, fmt)
    for plane, target in zip(frame.planes, copy.planes, strict=True):
        padded = np.zeros((plane.shape[0], target.line_size), np.uint8)
        line = plane.view(np.uint8) if plane.dtype == np.uint8 else np.ascontiguousarray(plane).view(np.uint8)
        padded[:, : line.shape[1]] = line
        target.update(padded.tobytes())
    copy.pts, copy.time_base, copy.duration = frame.pts, frame.time_base, frame.duration or 0
    return copy


def planes_of(frame: VideoFrame) -> tuple[NDArray[Any], ...]:
    """Copies of the planes of an FFmpeg frame, read by a way that is not the one under test."""
    row = pixel_format(frame.format.name)
    out = []
    for number, plane in enumerate(frame.planes):
        lines = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
        width = row.row_bytes(number, frame.width)
        out.append(np.ascontiguousarray(lines[:, :width]).view(row.dtype))
    return tuple(out)


def _context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    return cast(VideoCodecContext, CodecContext.create(name, mode))


_DECODERS = {"av1": "libdav1d"}
_QUIET = {"libx265": {"x265-params": "log-level=none"}}


@ordinary_scheduling()
def make_clip(
    encoder: str,
    codec: str,
    *,
    count: int = 6,
    size: tuple[int, int] = (64, 48),
    fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    options: Mapping[str, str] | None = None,
    global_header: bool = False,
    attributes: Mapping[str, Any] | None = None,
    flags: int = 0,
    time_base: Fraction = TIME_BASE,
) -> Clip:
    """Encode `count` pictures; `pts` in `time_base`, one each."""
    context = _context(encoder, "w")
    context.width, context.height, context.pix_fmt = *size, fmt
    context.time_base, context.framerate = time_base, Fraction(25)
    context.options = {**_QUIET.get(encoder, {}), **(options or {})}
    context.flags |= flags | (Flags.global_header if global_header else 0)
    for name, value in (attributes or {}).items():
        setattr(context, name, value)
    av_packets = []
    for index in range(count):
        frame = av_picture(index, *size, fmt)
        frame.time_base = time_base
        frame.pts = index if pts is None else pts[index]
        frame.duration = 1
        av_packets += context.encode(frame)
    av_packets += context.encode(None)
    packets = [Packet(bytes(p), p.pts, p.dts, p.duration or None, p.is_keyframe) for p in av_packets]
    extradata = context.extradata or b""
    return Clip(codec, time_base, extradata, packets, _reference(codec, extradata, packets, time_base))


def _reference(
    codec: str, extradata: bytes, packets: list[Packet], time_base: Fraction
) -> list[tuple[NDArray[Any], ...]]:
    context = _context(_DECODERS.get(codec, codec), "r")
    context.extradata = extradata or None
    context.thread_count = 1
    frames = []
    for packet in packets:
        carrier = AvPacket(len(packet.data))
        carrier.update(packet.data)
        carrier.pts, carrier.dts, carrier.time_base = packet.pts, packet.dts, time_base
        frames += context.decode(carrier)
    frames += context.decode(None)
    return [planes_of(frame) for frame in frames]


@pytest.fixture(scope="session")
def samples() -> SimpleNamespace:
    """The functions above. (Test modules cannot import each other under pytest's importlib mode.)"""
    return SimpleNamespace(
        picture=picture,
        av_picture=av_picture,
        planes_of=planes_of,
        clip=make_clip,
        noise=lambda size: np.random.default_rng(7).integers(0, 256, size, np.uint8).tobytes(),
    )


@pytest.fixture(scope="session")
def h264() -> Clip:
    """H.264 with B-frames that other B-frames are predicted from, headers in the packets."""
    return make_clip("libx264", "h264", count=12, options={"preset": "veryfast", "bf": "3", "qp": "20"})
