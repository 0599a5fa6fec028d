"""The input: a container is opened, its video goes to the server, and what else is wanted is set aside for copying."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet as AvPacket
from av.stream import Disposition
from av.video.stream import VideoStream

from esr_client import _av_frame
from esr_client._config import EncodedInput, RawInput, VideoFormat
from esr_client._errors import InputError
from esr_client._frame import Frame, Packet
from esr_client.files._codecs import SERVER_DECODES
from esr_client.files._decoded import UNPACKED, display_matrix, known_name, to_known
from esr_client.files._destination import input_format, is_pipe
from esr_client.files._input_settings import InputSettings
from esr_client.files._pipes import Interrupt, PipeReader
from esr_client.files._shown import display_name, open_error, reason
from esr_client.files._siting import chroma_location
from esr_media.color import ChromaLocation
from esr_media.ratio import to_fraction

_LONGEST_INTERLEAVING_S = 1  # as far as sound may come after the pictures that it belongs to
_HEAD_PACKETS = 256  # as far as the first decodable picture is looked for
_DEFAULT_RATE = Fraction(25)
_FASTEST_RATE = 1000
# PyAV 18 refuses a file with a tag that is not UTF-8, unless this is set. PyAV 19 keeps the bytes of such tags.
_TAG_DECODING: dict[str, Any] = {"metadata_errors": "replace"} if av.__version__.startswith("18.") else {}


@dataclass(frozen=True, slots=True)
class Picture:
    """Facts that only the first picture and its headers tell."""

    pixel_format: str = ""
    rotation: int = 0
    display_matrix: tuple[int, ...] | None = None
    """Nine integers as FFmpeg has them, or None."""
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED
    is_interlaced: bool = False


class Source:
    """An open input. `items` may run on another thread than everything else."""

    def __init__(self, url: str, settings: InputSettings, interrupt: Interrupt) -> None:
        """Open a file, a pipe or any URL that PyAV opens, choose the video stream, and go to where it is to begin.

        Raises:
            InputError: it cannot be opened, or has no video.
        """
        self.url = url
        self._settings = settings
        self._pipe: PipeReader | None = None
        self._display_name = "standard input" if url == "-" else display_name(url)
        try:
            self.container = self._open(interrupt)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise open_error(url, error) from error
        self._reading = threading.Lock()
        self._closed = False
        self._copied: deque[AvPacket[Any]] = deque()
        self._head: list[AvPacket[Any]] = []
        self._packets: Iterator[AvPacket[Any]] = iter(())
        self.discarded: set[int] = set()
        """pts of pictures that the container wants decoded and not shown."""
        self.undecodable = 0
        """Packets that could not be decoded here."""
        self.video_packets = 0
        """Packets of the video that were read."""
        self.picture = Picture()
        pictures = Disposition.attached_pic | Disposition.timed_thumbnails
        videos = [s for s in self.container.streams.video if s.codec_context and not s.disposition & pictures]
        if not videos:
            self.close()
            raise InputError(f"{self._display_name} has no video that can be decoded")
        self.video: VideoStream = next((s for s in videos if s.disposition & Disposition.default), videos[0])
        self.codec = self.video.codec_context.codec.canonical_name
        # RGB of H.264 comes in planes, which the server does not know.
        self.sends_packets = self.codec in SERVER_DECODES and self.video.codec_context.pix_fmt not in UNPACKED
        if not self.sends_packets:
            self.video.thread_type = ThreadType.AUTO
        try:
            self._go_to_start()
        except InputError:
            self.close()
            raise

    def _go_to_start(self) -> None:
        """Compute where the part to take begins and ends, and go to the last key frame before it.

        Raises:
            InputError: it begins after the input's end, or the input cannot seek.
        """
        start_s, duration_s = self._settings.start_s, self._settings.duration_s
        length = self.container.duration
        if start_s and length is not None and start_s >= Fraction(length, av.time_base):
            length_s = length / av.time_base
            raise InputError(
                f"{self._display_name} is {length_s:g} s long; --start {float(start_s):g} is after its end"
            )
        start = self.container.start_time
        origin_s = None if start is None else Fraction(start, av.time_base)
        self.shift_s = (origin_s or Fraction(0)) + start_s if start_s else Fraction(0)
        """Seconds that every time moves back by; more than 0 only where the beginning is cut away."""
        begin_s = self.shift_s or origin_s
        self._end_s = None if duration_s is None or begin_s is None else begin_s + duration_s
        if not self.shift_s or self._pipe is not None:
            return
        try:
            self.container.seek(int(self.shift_s / self.time_base), stream=self.video, backward=True)
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"cannot go to {float(start_s):g} s of {self._display_name}: {reason(error)}") from error

    def _open(self, interrupt: Interrupt) -> InputContainer:
        settings = self._settings
        name = None if settings.format is None else input_format(settings.format)
        options = settings.options()
        if is_pipe(self.url):
            self._pipe = PipeReader(self.url, interrupt)
            container: InputContainer = av.open(self._pipe, "r", format=name, options=options, **_TAG_DECODING)
            return container
        if self.url.startswith(("http:", "https:")):
            # Without it FFmpeg 9, which PyAV 19 has, takes the end of a chunked response for an I/O error.
            options["multiple_requests"] = "1"
        timeouts = settings.open_timeout_s, settings.read_timeout_s
        container = av.open(self.url, "r", format=name, options=options, timeout=timeouts, **_TAG_DECODING)
        return container

    def holds(self, pts: int | None) -> bool:
        """Return whether a picture of this time, in the video's time base, is in the part to take."""
        if pts is None:
            return True
        time = pts * self.time_base
        begins_before = not self.shift_s or time >= self.shift_s
        return begins_before and (self._end_s is None or time < self._end_s)

    def shift(self, time_base: Fraction) -> int:
        """Return the ticks that times move back by."""
        return round(self.shift_s / time_base)

    def begin_at_keyframe(self) -> None:
        """Move the beginning back to the key frame before it, because a receiver of packets needs one."""
        first = next((p.pts for p in self._head if p.stream_index == self.video.index and p.pts is not None), None)
        if first is not None and self.shift_s:
            self.shift_s = min(self.shift_s, first * self.time_base)

    # -- what it is

    @property
    def time_base(self) -> Fraction:
        return to_fraction(self.video.time_base) or Fraction(1, 90000)

    @property
    def frame_rate(self) -> Fraction:
        """Return a guess, for rate control and for pictures without a time."""
        rate = to_fraction(self.video.guessed_rate or self.video.average_rate)
        return rate if rate and 0 < rate <= _FASTEST_RATE else _DEFAULT_RATE

    @property
    def frames(self) -> int | None:
        """Return the number of frames to come, if the container says it."""
        settings = self._settings
        if settings.start_s or settings.duration_s is not None:
            rest_s = Fraction(self.container.duration or 0, av.time_base) - settings.start_s
            length = min(rest_s, settings.duration_s or rest_s) if self.container.duration else settings.duration_s
            return round((length or 0) * self.frame_rate) or None
        if self.video.frames:
            return self.video.frames
        seconds = Fraction(self.container.duration or 0, av.time_base)
        return round(seconds * self.frame_rate) or None

    @property
    def has_times(self) -> bool:
        """Return whether the first packet of video has a pts. Raw bitstreams have none."""
        first = next((p for p in self._head if p.stream_index == self.video.index), None)
        return first is None or first.pts is not None

    def format(self) -> VideoFormat:
        """Return the video's format from the container and the first picture."""
        context = self.video.codec_context
        return VideoFormat(
            width=context.width,
            height=context.height,
            pixel_format=self.picture.pixel_format,
            color=replace(_av_frame.color_of(context), chroma_location=self.picture.chroma_location),
            sample_aspect_ratio=to_fraction(self.video.sample_aspect_ratio),
            rotation=self.picture.rotation,
        )

    def config(self) -> EncodedInput | RawInput:
        """Return the input side of the stream's config."""
        if not self.sends_packets:
            return RawInput(format=self.format(), time_base=self.time_base)
        return EncodedInput(
            codec=self.codec,
            extradata=self.video.codec_context.extradata or b"",
            time_base=self.time_base,
            format=self.format(),
            skip_undecodable=self._settings.skip_undecodable,
        )

    def may_copy(self, stream: av.stream.Stream) -> bool:
        """Return whether to copy a stream. MP4 keeps chapters in a stream too, which its muxer makes anew."""
        is_chapters = stream.type == "data" and stream.name == "bin_data" and bool(self.container.chapters())
        return stream.index != self.video.index and not is_chapters

    # -- reading

    def start(self, copies: Iterable[av.stream.Stream]) -> None:
        """Read up to the first picture. `copies` are the streams to set packets aside of.

        Raises:
            InputError: the input cannot be read.
        """
        self._packets = self._read(self.container.demux(self.video, *copies))
        for packet in itertools.islice(self._packets, _HEAD_PACKETS):
            self._head.append(packet)
            if packet.stream_index == self.video.index and self._look(packet):
                break
        self.video.codec_context.flush_buffers()

    def _look(self, packet: AvPacket[Any]) -> bool:
        # Flushing at once gets the picture out of decoders that hold pictures back.
        context = self.video.codec_context
        try:
            frames = [*context.decode(packet), *context.decode(None)]
        except av.FFmpegError:
            frames = []  # not a picture to start at; whether that is an error is for the server to say
        context.flush_buffers()
        if frames:
            pixel_format = known_name(frames[0].format.name)
            first = frames[0]
            location = chroma_location(first, self.video, packet)
            self.picture = Picture(
                pixel_format, first.rotation, display_matrix(first), location, is_interlaced=first.interlaced_frame
            )
        return bool(frames)

    def _read(self, packets: Iterator[AvPacket[Any]]) -> Iterator[AvPacket[Any]]:
        # The lock keeps `close` from pulling the container away under a read on another thread.
        while True:
            with self._reading:
                if self._closed:
                    return
                try:
                    packet = next(packets, None)
                except (av.FFmpegError, OSError) as error:
                    raise InputError(f"cannot read {self._display_name}: {reason(error)}") from error
            if packet is None:
                return
            if packet.size:
                yield packet

    def items(self) -> Iterator[Packet | Frame]:
        """Give what goes to the server, in order, and set packets of other streams aside on the way.

        Raises:
            InputError: the input cannot be read, or not decoded where it is decoded here.
        """
        is_over = False
        for packet in itertools.chain(self._head, self._packets):
            if packet.stream_index != self.video.index:
                self._set_aside(packet)
                continue
            if is_over and self._is_past(packet, _LONGEST_INTERLEAVING_S):
                break
            is_over = is_over or self._is_past(packet)
            if is_over:
                continue  # sound that belongs to the last pictures may still come
            self.video_packets += 1
            if self.sends_packets:
                yield self._packet(packet)
            else:
                yield from self._decode(packet)
        if not self.sends_packets:
            yield from self._decode(None)

    def _set_aside(self, packet: AvPacket[Any]) -> None:
        """Keep a packet for copying if it lies in the part to take, at its time in the output."""
        if packet.pts is not None:
            time = packet.pts * packet.time_base
            if (self.shift_s and time < self.shift_s) or (self._end_s is not None and time >= self._end_s):
                return
        if self.shift_s:
            ticks = round(self.shift_s / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
        self._copied.append(packet)

    def _is_past(self, packet: AvPacket[Any], margin_s: int = 0) -> bool:
        """Return whether no picture from this packet on is in the part to take."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if self._settings.duration_s is None or ticks is None:
            return False
        time = ticks * packet.time_base
        if self._end_s is None:
            self._end_s = time + self._settings.duration_s
        return time >= self._end_s + margin_s

    def _packet(self, packet: AvPacket[Any]) -> Packet:
        if packet.is_discard and packet.pts is not None:
            self.discarded.add(packet.pts)
        extradata = packet.get_sidedata("new_extradata") if packet.has_sidedata("new_extradata") else b""
        return Packet(
            data=bytes(packet),
            pts=packet.pts,
            dts=packet.dts,
            duration=max(packet.duration or 0, 0) or None,
            is_keyframe=packet.is_keyframe,
            new_extradata=bytes(extradata),
        )

    def _decode(self, packet: AvPacket[Any] | None) -> Iterator[Frame]:
        try:
            frames = self.video.codec_context.decode(packet)
        except av.FFmpegError as error:
            if not self._settings.skip_undecodable:
                raise InputError(f"cannot decode {self.codec} of {self._display_name}: {reason(error)}") from error
            self.undecodable += 1
            return
        yield from (to_known(frame, self.time_base) for frame in frames)

    def take_copied(self) -> Iterator[AvPacket[Any]]:
        """Yield the packets that were set aside and not yet taken."""
        while self._copied:
            yield self._copied.popleft()

    def close(self) -> None:
        """Close the container, after a read that another thread is in."""
        self._closed = True
        with self._reading:
            self.container.close()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
