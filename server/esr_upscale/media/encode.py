"""Frames to packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import cast

import numpy as np
from av.codec.codec import Codec
from av.codec.context import CodecContext, Flags
from av.error import FFmpegError
from av.packet import Packet as AvPacket
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from esr_media.color import ChromaLocation, ColorRange
from esr_media.formats import PixelFormat
from esr_media.limits import INT32_MAX
from esr_media.packet import Packet
from esr_media.scheduling import ordinary_scheduling
from esr_upscale.errors import CodecOptionError, EngineError, FormatChangeError
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.media.clock import Clock
from esr_upscale.media.encoders import EncoderRow, check_options, check_span, check_time_base, encoder_row
from esr_upscale.media.frames import to_av
from esr_upscale.media.layout import relayout

# In which formats a frame may be encoded without changing a sample, best first.
_ENCODED_AS: dict[str, tuple[str, ...]] = {
    "gray": ("gray", "yuv420p"),
    "gray10le": ("gray10le", "yuv420p10le"),
    "yuv420p": ("yuv420p",),
    "yuvj420p": ("yuv420p",),
    "nv12": ("nv12", "yuv420p"),
    "yuv422p": ("yuv422p",),
    "yuv444p": ("yuv444p",),
    "yuv420p10le": ("yuv420p10le",),
    "p010le": ("yuv420p10le",),
    "yuv422p10le": ("yuv422p10le",),
    "yuv444p10le": ("yuv444p10le",),
}
_DEFAULT_FRAME_RATE = Fraction(25)
# A lower hint says nothing to a rate control.
_MIN_FRAME_RATE = Fraction(1, 60)
_TRIAL_SIDE = 64


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Settings of an encoder, known before the first frame.

    `options` are FFmpeg's, from the encoder's list. `frame_rate` is a hint for rate control and for the length of
    frames without a pts; it sets no times. With `global_header`, codec headers go to the first packet's
    `new_extradata` and not into the data. `threads` is the most that the encoder may use; 0 is its own choice.
    `time_base` is that of the frames, where it is known; it is checked before the first one comes.
    """

    codec: str
    options: Mapping[str, str] = field(default_factory=dict)
    frame_rate: Fraction | None = None
    global_header: bool = False
    threads: int = 0
    time_base: Fraction | None = None


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A packet, and the number of the pushed frame, counted from 0, that it was made from."""

    packet: Packet
    index: int


class Encoder:
    """Stage: frames in, packets out, in order of decoding.

    A packet has the pts and duration of its frame; the time base stays that of the frames. A frame without a pts gets
    one: the pts before it plus the length of the frame before it, which is its duration, or else one frame at
    `frame_rate`, or else the last step between two frames, or else 1. The first one gets 0. Not thread-safe.

    Raises:
        CodecOptionError: the encoder, an option's name or its value is not on the allow-list, or the encoder refuses
            the options or the time base.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self._row = encoder_row(settings.codec)
        check_options(self._row, settings.options)
        if settings.time_base is not None:
            check_time_base(self._row, settings.time_base)
        if settings.options:
            _try_options(self._row, settings)
        self._settings = settings
        self._clock = Clock(settings.frame_rate)
        self._context: VideoCodecContext | None = None
        self._shape = ""
        self._format: PixelFormat | None = None
        self._pending: dict[int, tuple[int, int | None]] = {}
        self._first_pts = 0
        self._count = 0
        self._extradata = b""

    def push(self, frame: Frame) -> list[EncodedFrame]:
        """Encode one frame and give the packets that are ready.

        Raises:
            CodecOptionError: the encoder does not take this pixel format or size, or refuses its options for them.
            FormatChangeError: size, pixel format or time base differ from the first frame's.
            FrameError: the pts is not after that of the frame before, or too far from the first one.
            EngineError: the encoder failed, and is released.
        """
        index = self._count
        if self._context is None or self._format is None:
            self._context, self._format = _open(self._row, self._settings, frame)
            self._extradata = self._context.extradata or b"" if self._settings.global_header else b""
            self._shape = _shape(frame)
        if _shape(frame) != self._shape:
            raise FormatChangeError(
                f"frame {index} is {_shape(frame)} after {self._shape}; an encoded stream cannot change, "
                "ask for raw frames (esr-client: leave out --encode server)"
            )
        pts = self._clock.next(frame, index)
        self._first_pts = pts if index == 0 else self._first_pts
        check_span(self._row, index, pts - self._first_pts, frame.time_base)
        picture = to_av(relayout(frame, self._format))
        picture.pts = pts
        self._count += 1
        self._pending[pts] = (index, frame.duration)
        try:
            packets = self._context.encode(picture)
        except FFmpegError as error:
            self.close()
            raise EngineError(f"{self._row.name} failed at frame {index}: {error.strerror}") from error
        return [self._encoded_frame(packet) for packet in packets]

    def flush(self) -> list[EncodedFrame]:
        """Give the packets that are left. The next frame begins a new stream.

        Raises:
            EngineError: the encoder failed.
        """
        if self._context is None:
            return []
        try:
            packets = self._context.encode(None)
        except FFmpegError as error:
            raise EngineError(f"{self._row.name} failed at the end of the stream: {error.strerror}") from error
        finally:
            self.close()
        return [self._encoded_frame(packet) for packet in packets]

    def close(self) -> None:
        """Release the codec and its threads; packets that it holds are lost. Nothing to do after `flush`."""
        # The only reference: PyAV frees a context with the last one, and a local one would live in tracebacks.
        self._context = None

    def _encoded_frame(self, packet: AvPacket[Stream]) -> EncodedFrame:
        pts, dts = packet.pts, packet.dts
        if not self._row.reorders:
            # libvpx counts in ticks of 100 ns and cannot give a finer pts back. The order says which it is.
            pts = dts = next(iter(self._pending), None)
        if pts not in self._pending:
            raise EngineError(f"{self._row.name} gave a packet with pts {pts}, which no frame had")
        index, duration = self._pending.pop(pts)
        extradata, self._extradata = self._extradata, b""
        return EncodedFrame(Packet(bytes(packet), pts, dts, duration, packet.is_keyframe, extradata), index)


def _open(row: EncoderRow, settings: EncoderSettings, frame: Frame) -> tuple[VideoCodecContext, PixelFormat]:
    """Open the encoder for frames like this one; give it and the format that it wants them in.

    Raises:
        CodecOptionError: the encoder refuses the frame's format, size or time base, or the options.
    """
    fmt = _encoded_format(row, frame)
    _check_size(row, fmt, frame)
    check_time_base(row, frame.time_base)
    context = cast(VideoCodecContext, CodecContext.create(row.name, "w"))
    context.width, context.height, context.pix_fmt = frame.width, frame.height, fmt.name
    context.time_base = frame.time_base
    # Without a rate, encoders take the time base for one, and 90000 frames per second for the level to reach.
    # And libvpx fails if a frame at that rate is shorter than a tick, or longer than 2**32 of them.
    lowest = _MIN_FRAME_RATE if 1 / (_MIN_FRAME_RATE * frame.time_base) <= INT32_MAX else Fraction(1)
    rate = max(settings.frame_rate or _DEFAULT_FRAME_RATE, lowest)
    context.framerate = min(rate, Fraction(row.max_frame_rate), 1 / frame.time_base)
    _set_tags(context, frame)
    options = {name: value for name, value in settings.options.items() if name != "threads"}
    if frame.color.chroma_location is not ChromaLocation.UNSPECIFIED:
        options["chroma_sample_location"] = str(int(frame.color.chroma_location))
    context.options = {**options, **row.fixed}
    threads, limit = int(settings.options.get("threads", "0")), settings.threads
    context.thread_count = min(threads, limit) if threads and limit else threads or limit
    # PyAV has x264 cut each picture into slices, one for each thread. Threads on whole pictures, as FFmpeg has it,
    # wait less for each other, but hold pictures back.
    context.thread_type = "SLICE" if settings.options.get("tune") == "zerolatency" else "AUTO"
    if settings.global_header:
        context.flags |= Flags.global_header
    try:
        with ordinary_scheduling():
            context.open()
    except FFmpegError as error:
        raise CodecOptionError(
            f"{row.name} refuses {frame.width}x{frame.height} {fmt.name} with options "
            f"{dict(settings.options)}: {error.strerror}"
        ) from error
    if context.options:
        unknown = ", ".join(context.options)
        del context
        raise CodecOptionError(f"{row.name} does not know the options {unknown}")
    return context, fmt


def _try_options(row: EncoderRow, settings: EncoderSettings) -> None:
    """Open the encoder once for a small picture, to learn before the first frame whether it takes the options.

    Raises:
        CodecOptionError: it does not.
    """
    # The profile depends on the pixel format.
    options = {name: value for name, value in settings.options.items() if name != "profile"}
    fmt = pixel_format("yuv420p")
    shapes = (fmt.plane_shape(index, _TRIAL_SIDE, _TRIAL_SIDE) for index in range(len(fmt.planes)))
    planes = tuple(np.zeros(shape, fmt.dtype) for shape in shapes)
    time_base = settings.time_base or 1 / _DEFAULT_FRAME_RATE
    try:
        context, _ = _open(
            row, replace(settings, options=options), Frame(fmt, _TRIAL_SIDE, _TRIAL_SIDE, planes, time_base=time_base)
        )
        context.encode(None)  # SVT-AV1 complains on stderr if it is closed before
    except CodecOptionError as error:
        cause = error.__cause__
        raise CodecOptionError(
            f"{row.name} refuses the options {options} together: {getattr(cause, 'strerror', None) or error}; "
            "begin with crf, or with b alone, and add the others one at a time"
        ) from cause


def _shape(frame: Frame) -> str:
    return f"{frame.width}x{frame.height} {frame.format.name} in units of {frame.time_base} s"


def _encoded_format(row: EncoderRow, frame: Frame) -> PixelFormat:
    supported = {known.name for known in Codec(row.name, "w").video_formats or ()}
    for name in _ENCODED_AS.get(frame.format.name, ()):
        if name in supported:
            return pixel_format(name)
    takes = (name for name, ways in _ENCODED_AS.items() if not supported.isdisjoint(ways))
    raise CodecOptionError(
        f"{row.name} takes {', '.join(takes)}, not {frame.format.name}; "
        "send one of those, or ask for raw frames (esr-client: leave out --encode server)"
    )


def _check_size(row: EncoderRow, fmt: PixelFormat, frame: Frame) -> None:
    width, height = frame.width, frame.height
    if min(width, height) < row.min_side:
        raise CodecOptionError(
            f"{row.name} takes sizes from {row.min_side}x{row.min_side} on, not {width}x{height}; "
            "use libx264 or libvpx-vp9, or ask for raw frames (esr-client: leave out --encode server)"
        )
    step_x, step_y = 1 << fmt.planes[-1].shift_x, 1 << fmt.planes[-1].shift_y
    if row.even and (width % step_x or height % step_y):
        raise CodecOptionError(
            f"{row.name} takes {fmt.name} only in multiples of {step_x}x{step_y}, not {width}x{height}; use libvpx-vp9 "
            "or libsvtav1, or ask for raw frames (esr-client: leave out --encode server)"
        )


def _set_tags(context: VideoCodecContext, frame: Frame) -> None:
    color = frame.color
    # yuvj420p is encoded as yuv420p, so the tag alone must say it.
    context.color_range = ColorRange.FULL if frame.format.name == "yuvj420p" else color.range
    context.color_primaries, context.color_trc, context.colorspace = color.primaries, color.transfer, color.matrix
    if frame.sample_aspect_ratio is not None:
        context.sample_aspect_ratio = frame.sample_aspect_ratio
