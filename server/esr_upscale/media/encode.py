"""Frames to packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

from av.codec.codec import Codec
from av.codec.context import CodecContext, Flags
from av.error import FFmpegError
from av.packet import Packet as AvPacket
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from esr_media.color import ChromaLocation, ColorRange
from esr_media.formats import PixelFormat
from esr_media.packet import Packet
from esr_media.scheduling import ordinary_scheduling
from esr_upscale.errors import CodecOptionError, EngineError, FormatChangeError
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.media.clock import Clock
from esr_upscale.media.encoders import EncoderRow, check_options, encoder_row
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


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Settings of an encoder, known before the first frame.

    `options` are FFmpeg's, from the encoder's list. `frame_rate` is a hint for rate control and for the length of
    frames without a pts; it sets no times. With `global_header`, codec headers go to the first packet's
    `new_extradata` and not into the data. `threads` is the most that the encoder may use; 0 is its own choice.
    """

    codec: str
    options: Mapping[str, str] = field(default_factory=dict)
    frame_rate: Fraction | None = None
    global_header: bool = False
    threads: int = 0


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
        CodecOptionError: the encoder, an option's name or its value is not on the allow-list.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self._row = encoder_row(settings.codec)
        check_options(self._row, settings.options)
        self._settings = settings
        self._clock = Clock(settings.frame_rate)
        self._context: VideoCodecContext | None = None
        self._shape = ""
        self._format: PixelFormat | None = None
        self._pending: dict[int, tuple[int, int | None]] = {}
        self._count = 0
        self._extradata = b""

    def push(self, frame: Frame) -> list[EncodedFrame]:
        """Encode one frame and give the packets that are ready.

        Raises:
            CodecOptionError: the encoder does not take this pixel format or size, or refuses its options for them.
            FormatChangeError: size, pixel format or time base differ from the first frame's.
            FrameError: the pts is not after that of the frame before.
            EngineError: the encoder failed.
        """
        index = self._count
        if self._context is None or self._format is None:
            self._context, self._format = self._open(frame)
            self._shape = _shape(frame)
        if _shape(frame) != self._shape:
            raise FormatChangeError(
                f"frame {index} is {_shape(frame)} after {self._shape}; an encoded stream cannot change, "
                "ask for raw frames (esr-client: leave out --encode server)"
            )
        pts = self._clock.next(frame, index)
        picture = to_av(relayout(frame, self._format))
        picture.pts = pts
        self._count += 1
        self._pending[pts] = (index, frame.duration)
        try:
            packets = self._context.encode(picture)
        except FFmpegError as error:
            raise EngineError(f"{self._row.name} failed at frame {index}: {error.strerror}") from error
        return [self._encoded_frame(packet) for packet in packets]

    def flush(self) -> list[EncodedFrame]:
        """Give the packets that are left. The next frame begins a new stream.

        Raises:
            EngineError: the encoder failed.
        """
        context, self._context = self._context, None
        if context is None:
            return []
        try:
            packets = context.encode(None)
        except FFmpegError as error:
            raise EngineError(f"{self._row.name} failed at the end of the stream: {error.strerror}") from error
        return [self._encoded_frame(packet) for packet in packets]

    def close(self) -> None:
        """Release the codec and its threads; packets that it holds are lost. Nothing to do after `flush`."""
        self._context = None

    def _open(self, frame: Frame) -> tuple[VideoCodecContext, PixelFormat]:
        fmt = _encoded_format(self._row, frame)
        _check_size(self._row, fmt, frame)
        context = cast(VideoCodecContext, CodecContext.create(self._row.name, "w"))
        context.width, context.height, context.pix_fmt = frame.width, frame.height, fmt.name
        context.time_base = frame.time_base
        # Without a rate, encoders take the time base for one, and 90000 frames per second for the level to reach.
        # And libvpx fails if a frame at that rate is shorter than a tick.
        rate = self._settings.frame_rate or _DEFAULT_FRAME_RATE
        context.framerate = min(rate, Fraction(self._row.max_frame_rate), 1 / frame.time_base)
        _set_tags(context, frame)
        options = {name: value for name, value in self._settings.options.items() if name != "threads"}
        if frame.color.chroma_location is not ChromaLocation.UNSPECIFIED:
            options["chroma_sample_location"] = str(int(frame.color.chroma_location))
        context.options = {**options, **self._row.fixed}
        threads, limit = int(self._settings.options.get("threads", "0")), self._settings.threads
        context.thread_count = min(threads, limit) if threads and limit else threads or limit
        # PyAV has x264 cut each picture into slices, one for each thread. Threads on whole pictures, as FFmpeg has it,
        # wait less for each other, but hold pictures back.
        context.thread_type = "SLICE" if self._settings.options.get("tune") == "zerolatency" else "AUTO"
        if self._settings.global_header:
            context.flags |= Flags.global_header
        try:
            with ordinary_scheduling():
                context.open()
        except FFmpegError as error:
            raise CodecOptionError(
                f"{self._row.name} refuses {frame.width}x{frame.height} {fmt.name} with options "
                f"{dict(self._settings.options)}: {error.strerror}"
            ) from error
        if context.options:
            raise CodecOptionError(f"{self._row.name} does not know the options {', '.join(context.options)}")
        self._extradata = context.extradata or b"" if self._settings.global_header else b""
        return context, fmt

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
