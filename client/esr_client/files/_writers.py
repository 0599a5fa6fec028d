"""Upscaled video into the output: frames that are encoded here, or packets of the server's encoder."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Protocol

import av
from av.codec.context import ThreadType
from av.container import InputContainer, OutputContainer
from av.packet import Packet as AvPacket
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from esr_client import _av_frame
from esr_client._config import VideoFormat
from esr_client._errors import ContractError, OutputError
from esr_client._frame import Frame, Packet
from esr_client.files._codecs import Encoding, check_size, encoder_format, encoder_row, is_converted
from esr_client.files._copies import lasting_metadata
from esr_client.files._resize import Resizer
from esr_client.files._shown import output_error, reason
from esr_client.files._sink import Notice, Sink
from esr_client.files._source import Source
from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.scheduling import ordinary_scheduling

_BT709 = 1  # the matrix of ITU-T H.273 that RGB is converted by
_KEY_FRAME_INTERVAL_S = 2


class Writer(Protocol):
    """A writer of the items of a stream."""

    frames: int
    """Pictures written."""

    def write(self, item: Frame | Packet) -> None:
        """Write one item.

        Raises:
            OutputError: it cannot be written.
        """

    def finish(self) -> None:
        """Write what an encoder still holds.

        Raises:
            OutputError: it cannot be written.
        """


class Timeline:
    """Gives pictures without a time one, and moves those whose time does not advance, which no container takes."""

    def __init__(self, time_base: Fraction, rate: Fraction, notice: Notice) -> None:
        self._step = 1 / rate / time_base
        self._rate = rate
        self._notice = notice
        self._last: Fraction | None = None
        self._notices: set[str] = set()

    def next_pts(self, pts: int | None) -> int:
        """Return the pts to write for a picture whose own is `pts`."""
        if pts is None:
            self._notice_once(
                f"the input has pictures without a time; they are placed {float(self._rate):g} to the second"
            )
            self._last = Fraction(0) if self._last is None else self._last + self._step
        elif self._last is not None and pts <= self._last:
            self._notice_once(
                "the input has pictures whose time does not advance; they are moved by the least possible"
            )
            self._last = Fraction(int(self._last) + 1)
        else:
            self._last = Fraction(pts)
        return round(self._last)

    def _notice_once(self, text: str) -> None:
        if text not in self._notices:
            self._notices.add(text)
            self._notice(text)


def _tag(stream: VideoStream, color: Color, ratio: Fraction | None, source: Source) -> None:
    """Copy the tags of the input's video to the output's."""
    context = stream.codec_context
    context.color_range = color.range
    context.color_primaries = color.primaries
    context.color_trc = color.transfer
    context.colorspace = color.matrix
    if ratio:
        context.sample_aspect_ratio = ratio
    if source.picture.display_matrix:
        stream.set_display_matrix(source.picture.display_matrix)
    untyped: Any = stream  # the type says that dispositions are Disposition; the setter takes numbers
    untyped.disposition = int(source.video.disposition)
    stream.metadata.update(lasting_metadata(source.video.metadata, upscaled=True))


class FrameWriter:
    """Encodes frames here."""

    def __init__(self, source: Source, sink: Sink, encoding: Encoding, resizer: Resizer | None) -> None:
        self.frames = 0
        self._resizer = resizer
        self._shift = source.shift(source.time_base)
        self._source = source
        self._sink = sink
        self._encoding = encoding
        self._timeline = Timeline(source.time_base, source.frame_rate, sink.notice)
        self._stream: VideoStream | None = None
        self._first: Frame | None = None
        self._durations: dict[int, int] = {}

    def write(self, item: Frame | Packet) -> None:
        if not isinstance(item, Frame):
            raise ContractError("the server sent a packet where frames were asked for")
        if item.pts in self._source.discarded or not self._source.holds(item.pts):
            return
        item = self._resizer(item) if self._resizer else item
        if self._stream is None or self._first is None:
            self._first = item
            self._stream = self._open(item)
        old, new = (f"{frame.width}x{frame.height} {frame.pixel_format}" for frame in (self._first, item))
        if old != new:
            raise OutputError(f"the video changes from {old} to {new} midway, which an encoder cannot follow")
        pts = self._timeline.next_pts(None if item.pts is None else item.pts - self._shift)
        if item.duration:
            self._durations[pts] = item.duration
        self._encode(self._stream, self._av_frame(item, self._stream, pts))
        self.frames += 1

    def finish(self) -> None:
        if self._stream is not None:
            self._encode(self._stream, None)

    def _open(self, frame: Frame) -> VideoStream:
        name = encoder_format(self._encoding.codec, frame.pixel_format)
        check_size(self._encoding.codec, frame.pixel_format, frame.width, frame.height)
        if is_converted(frame.pixel_format, name):
            self._sink.notice(f"{frame.pixel_format} is encoded as {name}, which {self._encoding.codec} takes")
        return self._sink.open(lambda container: self._add(container, frame, name))

    def _add(self, container: OutputContainer, frame: Frame, name: str) -> VideoStream:
        codec = self._encoding.codec
        options = {**self._encoding.options, **encoder_row(codec).quiet}
        if frame.color.chroma_location is not ChromaLocation.UNSPECIFIED:
            # PyAV has no attribute for it.
            options["chroma_sample_location"] = str(int(frame.color.chroma_location))
        if self._sink.destination.is_live or self._sink.destination.is_playlist:
            # Whoever joins a live stream waits for a key frame, and a playlist is cut at them.
            options["g"] = str(max(1, round(_KEY_FRAME_INTERVAL_S * self._source.frame_rate)))
        av_stream: Any = container.add_stream(codec, rate=self._source.frame_rate, options=options)
        stream: VideoStream = av_stream
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, name
        stream.codec_context.time_base = stream.time_base = self._source.time_base
        stream.codec_context.thread_type = ThreadType.AUTO  # as FFmpeg has it; PyAV's choice would cut pictures up
        _tag(stream, _color(frame, name), frame.sample_aspect_ratio, self._source)
        self._open_encoder(stream)
        return stream

    def _open_encoder(self, stream: VideoStream) -> None:
        try:
            with ordinary_scheduling():
                stream.codec_context.open()
        except (av.FFmpegError, ValueError) as error:
            options = ", ".join(f"{name} {value}" for name, value in self._encoding.options.items())
            what = f"{stream.width}x{stream.height} {stream.pix_fmt} with {options}"
            raise OutputError(f"{self._encoding.codec} cannot encode {what}: {reason(error)}") from error

    def _av_frame(self, frame: Frame, stream: VideoStream, pts: int) -> av.VideoFrame:
        picture = _av_frame.from_frame(frame)
        if picture.format.name != stream.pix_fmt:
            if is_converted(frame.pixel_format, str(stream.pix_fmt)):
                picture = picture.reformat(
                    format=stream.pix_fmt,
                    dst_colorspace=Colorspace.ITU709,
                    dst_color_range=ColorRange.LIMITED,
                    threads=1,
                )
                return self._set_time(picture, pts)
            picture = picture.reformat(format=stream.pix_fmt, threads=1)
            if encoder_row(self._encoding.codec).picture_formats is not None:
                picture.color_range = ColorRange.FULL
                return self._set_time(picture, pts)
        picture.color_range = _color(frame, frame.pixel_format).range
        return self._set_time(picture, pts)

    def _set_time(self, frame: av.VideoFrame, pts: int) -> av.VideoFrame:
        frame.pts, frame.time_base = pts, self._source.time_base
        return frame

    def _encode(self, stream: VideoStream, frame: av.VideoFrame | None) -> None:
        try:
            packets = stream.encode(frame)
        except (av.FFmpegError, ValueError) as error:
            raise output_error(self._sink.name, error) from error
        # Not every encoder hands durations through; the last one of a file is how long its last picture stays.
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, packet.duration)
        self._sink.write(packets)


def _color(frame: Frame, encoded: str) -> Color:
    if is_converted(frame.pixel_format, encoded):
        return Color(ColorRange.LIMITED, frame.color.primaries, frame.color.transfer, _BT709)
    full = frame.pixel_format.startswith("yuvj")
    color = frame.color
    return Color(ColorRange.FULL, color.primaries, color.transfer, color.matrix) if full else color


class PacketWriter:
    """Muxes packets of the server's encoder.

    They include pictures that the input's container hides, since others may be predicted from them. MP4 hides them
    again where they come before time 0.
    """

    def __init__(self, source: Source, sink: Sink, encoding: Encoding, output_format: VideoFormat) -> None:
        """Take the format that the server negotiated for the output."""
        self.frames = 0
        self._source = source
        self._sink = sink
        self._encoding = encoding
        self._output_format = output_format
        self._stream: VideoStream | None = None

    def write(self, item: Frame | Packet) -> None:
        if not isinstance(item, Packet):
            raise ContractError("the server sent a frame where packets were asked for")
        if self._stream is None:
            self._stream = self._open(item)
        packet: AvPacket[Any] = AvPacket(item.data)
        shift = self._source.shift(self._source.time_base)
        packet.pts = None if item.pts is None else item.pts - shift
        packet.dts = None if item.dts is None else item.dts - shift
        packet.duration = item.duration or 0
        packet.time_base, packet.is_keyframe = self._source.time_base, item.is_keyframe
        packet.stream = self._stream
        self._sink.write([packet])
        self.frames += 1

    def finish(self) -> None:
        """Remark on hidden pictures; no packet is held here."""
        visible = self._sink.shows(self._source.discarded)
        if visible:
            self._sink.notice(f"{visible} pictures that the input hides are shown; --encode client leaves them out")

    def _open(self, first: Packet) -> VideoStream:
        """Open the output with a stream like that of a file in memory with the first packet.

        PyAV's `add_mux_stream` makes streams without a codec context, which can have no extradata, tags or rotation.
        """
        try:
            # A muxer rewrites packets for length prefixes only if the headers, too, are those of a bare bitstream.
            codec = self._encoding.codec
            container_format = encoder_row(codec).bitstream
            data = first.data
            if container_format == "matroska":
                data = _in_matroska(codec, first, self._output_format)
            template = av.open(io.BytesIO(data), "r", format=container_format)
        except (av.FFmpegError, ValueError, IndexError) as error:
            raise output_error(self._sink.name, error) from error
        with template:
            return self._sink.open(lambda container: self._add(container, template))

    def _add(self, container: OutputContainer, template: InputContainer) -> VideoStream:
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
        stream.time_base = self._source.time_base
        _tag(stream, self._output_format.color, self._output_format.sample_aspect_ratio, self._source)
        return stream


def _in_matroska(codec: str, packet: Packet, fmt: VideoFormat) -> bytes:
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as output:
        stream: Any = output.add_mux_stream(codec, rate=25, width=fmt.width, height=fmt.height)
        stream.time_base = Fraction(1, 1000)
        only: AvPacket[Any] = AvPacket(packet.data)
        only.pts = only.dts = 0
        only.time_base, only.is_keyframe, only.stream = Fraction(1, 1000), True, stream
        output.mux(only)
    return memory.getvalue()
