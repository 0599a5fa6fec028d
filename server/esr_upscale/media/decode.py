"""Packets to frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import cast

from av.codec.context import CodecContext, Flags
from av.error import ArgumentError, FFmpegError, OverflowError
from av.packet import Packet as AvPacket
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from esr_media.color import ChromaLocation, Color
from esr_media.packet import Packet
from esr_media.ratio import to_fraction
from esr_upscale.errors import CodecOptionError, LimitError, MediaDataError
from esr_upscale.frame import Frame, KeyFrame
from esr_upscale.media.frames import FrameTags, from_av
from esr_upscale.media.nal import count_nal_units, sei_bytes

# FFmpeg measures a picture after it rounded its sides up to 64 samples. This is what that adds to sides up to 16384, so
# that a picture just within the limit is not refused; the exact size is checked on every frame.
_ALIGNMENT_PIXELS = 63 * 2 * 16384


# Uncompressed samples, as lossless H.264 may have them, take 6 bytes at most. The least is for streams whose
# pictures grow.
_PACKET_BYTES_PER_PIXEL = 8
_MIN_PACKET_BYTES = 4 * 1024 * 1024
_MOST_REORDERED = 64
"""Packets whose frames may be outstanding; H.264 and HEVC reorder at most 16."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """One row of the allow-list: FFmpeg's software decoder, by name, and what is particular to the codec."""

    decoder: str
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED
    flags: int = 0
    has_nal_units: bool = False


_CODECS = {
    "h264": _Codec("h264", has_nal_units=True),
    "hevc": _Codec("hevc", has_nal_units=True),
    "vp8": _Codec("vp8"),
    "vp9": _Codec("vp9"),
    # dav1d holds frames back to decode several at once unless it is told not to. (For h264 the flag would mean
    # something else: to ignore B-frames' reordering.)
    "av1": _Codec("libdav1d", flags=Flags.low_delay),
    "mpeg2video": _Codec("mpeg2video"),
    "mpeg4": _Codec("mpeg4"),
    "mjpeg": _Codec("mjpeg", ChromaLocation.CENTER),
}

DECODERS = tuple(_CODECS)
"""The codecs that can be decoded."""


@dataclass(frozen=True, slots=True)
class DecoderSettings:
    """Settings of a decoder, known before the first packet.

    `extradata` are the codec headers as the container has them. Tags in `color`, `sample_aspect_ratio` and `rotation`
    (degrees counter-clockwise) that are set win over the bitstream's. `max_pixels` is the largest width × height,
    `max_packet_units` the most NAL units in one packet of H.264 or HEVC, or in the extradata. `pixels` is the announced
    width × height, or 0; a packet may have 8 bytes for each pixel of that or of the last picture, and always 4 MiB.
    `threads` work on parts of one picture; 0 is one for each CPU.
    """

    codec: str
    time_base: Fraction
    extradata: bytes = field(default=b"", repr=False)
    color: Color | None = None
    sample_aspect_ratio: Fraction | None = None
    rotation: int = 0
    pixels: int = 0
    max_pixels: int = 8192 * 4320
    max_packet_units: int = 4096
    skip_undecodable: bool = False
    threads: int = 1


class Decoder:
    """Stage: packets in, frames out, in order of presentation.

    A frame has the pts that FFmpeg's decoder took from its packet; nothing is renumbered or guessed. Changes of size
    and format in mid-stream are followed. Not thread-safe.

    Raises:
        CodecOptionError: the codec is not on the allow-list.
        LimitError: the extradata is too large.
        MediaDataError: the decoder cannot be opened with this extradata.
    """

    def __init__(self, settings: DecoderSettings) -> None:
        if settings.codec not in _CODECS:
            raise CodecOptionError(f"codec {settings.codec!r} is not supported; choose one of {', '.join(DECODERS)}")
        self._settings = settings
        self._codec = _CODECS[settings.codec]
        self._extradata = settings.extradata
        self._pixels = settings.pixels
        self._number = 0
        self._skipped = 0
        self._bits: dict[int | None, int] = {}
        self._context: VideoCodecContext | None = self._open()

    @property
    def packets_skipped(self) -> int:
        """Return how many packets could not be decoded and were passed over, as `skip_undecodable` asked."""
        return self._skipped

    def push(self, packet: Packet) -> Iterator[Frame]:
        """Decode one packet, as the result is iterated, and give the frames that are ready.

        When a packet cannot be decoded, all frames of the packets before it come first, then the error.

        Raises:
            MediaDataError: the packet cannot be decoded. Not raised with `skip_undecodable`.
            LimitError: the picture is larger than `max_pixels`, or the packet than a picture can need.
            UnsupportedFormatError: the picture's pixel format is not in the table.
        """
        number, self._number = self._number, self._number + 1
        if packet.new_extradata and packet.new_extradata != self._extradata:
            yield from self.flush()
            self._extradata = packet.new_extradata
        try:
            frames = self._decode(packet, number)
        except MediaDataError:
            if not self._settings.skip_undecodable:
                with suppress(MediaDataError):  # the first error is the one to tell
                    yield from self._drain()
                raise
            self._skipped += 1
            return
        yield from frames

    def flush(self) -> Iterator[Frame]:
        """Give the frames that are left. The next packet begins a new stream.

        Raises:
            MediaDataError: the stream ends in something that cannot be decoded. Not raised with `skip_undecodable`.
        """
        try:
            yield from self._drain()
        except MediaDataError:
            if not self._settings.skip_undecodable:
                raise
            self._skipped += 1

    def close(self) -> None:
        """Release the codec and its threads; frames that it holds are lost."""
        self._context = None

    def _open(self) -> VideoCodecContext:
        self._check_size(self._extradata, "the extradata", _MIN_PACKET_BYTES)
        context = cast(VideoCodecContext, CodecContext.create(self._codec.decoder, "r"))
        context.extradata = self._extradata or None
        context.flags |= self._codec.flags
        context.options = {"max_pixels": str(self._settings.max_pixels + _ALIGNMENT_PIXELS)}
        # Threads on slices of a picture. Threads on whole frames would hold back as many frames as there are threads
        # and report an error for a packet long after it.
        context.thread_type = "SLICE"
        context.thread_count = self._settings.threads
        try:
            context.open()
        except FFmpegError as error:
            raise MediaDataError(
                f"the {self._settings.codec} decoder does not open with this extradata "
                f"({len(self._extradata)} bytes): {error.strerror}"
            ) from error
        return context

    def _decode(self, packet: Packet, number: int) -> Iterator[Frame]:
        # Without data, FFmpeg would take it for the end of the stream.
        if not packet.data:
            raise MediaDataError(f"packet {number} is empty")
        most = max(_MIN_PACKET_BYTES, _PACKET_BYTES_PER_PIXEL * (self._pixels or self._settings.max_pixels))
        self._check_size(packet.data, f"packet {number}", most)
        # How many bits the packet has for its picture, for the frame that has its pts.
        no_picture = sei_bytes(self._settings.codec, packet.data, self._extradata)
        self._bits[packet.pts] = 8 * (len(packet.data) - no_picture)
        if len(self._bits) > _MOST_REORDERED:
            del self._bits[next(iter(self._bits))]
        self._context = context = self._context or self._open()
        try:
            frames = context.decode(self._av_packet(packet))
        except FFmpegError as error:
            self._check_limit(error, context, number)
            raise MediaDataError(
                f"packet {number} ({len(packet.data)} bytes) cannot be decoded as {self._settings.codec}: "
                f"{error.strerror}"
            ) from error
        return (self._frame(frame, context) for frame in frames)

    def _check_size(self, data: bytes, what: str, most_bytes: int) -> None:
        """Refuse what would cost much memory. FFmpeg keeps some 4 kB for each NAL unit, however short."""
        if len(data) > most_bytes:
            raise LimitError(f"{what} has {len(data)} bytes; for pictures of this size it has at most {most_bytes}")
        most = self._settings.max_packet_units
        codec = self._settings.codec
        if self._codec.has_nal_units and count_nal_units(codec, data, self._extradata, most) > most:
            raise LimitError(f"{what} has more than {most} NAL units; cut the pictures into fewer slices")

    def _av_packet(self, packet: Packet) -> AvPacket[Stream]:
        # Made from bytes, it would be a view of them, without the padding that FFmpeg's decoders read into.
        av_packet: AvPacket[Stream] = AvPacket(len(packet.data))
        av_packet.update(packet.data)
        av_packet.time_base = self._settings.time_base
        av_packet.pts = packet.pts
        av_packet.dts = packet.dts
        av_packet.duration = packet.duration or 0
        av_packet.is_keyframe = packet.is_keyframe
        return av_packet

    def _check_limit(self, error: FFmpegError, context: VideoCodecContext, number: int) -> None:
        """Tell a picture that FFmpeg refused for its size from one that it could not read."""
        limit = self._settings.max_pixels
        if context.width * context.height > limit:
            raise _too_large(f"packet {number} holds a", context.width, context.height, limit) from error
        # What decoders say that refuse a size before they keep it; damaged data is AVERROR_INVALIDDATA.
        if isinstance(error, (ArgumentError, OverflowError)):
            raise LimitError(
                f"packet {number} holds a picture whose size the decoder refused; at most {limit} pixels are allowed"
            ) from error

    def _drain(self) -> Iterator[Frame]:
        context, self._context = self._context, None
        if context is None:
            return
        try:
            frames = context.decode(None)
        except FFmpegError as error:
            raise MediaDataError(f"the end of the {self._settings.codec} stream cannot be decoded") from error
        for frame in frames:
            yield self._frame(frame, context)

    def _frame(self, source: VideoFrame, context: VideoCodecContext) -> Frame:
        settings = self._settings
        if source.width * source.height > settings.max_pixels:
            raise _too_large("a decoded", source.width, source.height, settings.max_pixels)
        self._pixels = max(settings.pixels, source.width * source.height)
        tags = FrameTags(
            time_base=settings.time_base,
            color=settings.color,
            default_chroma_location=self._codec.chroma_location,
            sample_aspect_ratio=settings.sample_aspect_ratio or to_fraction(context.sample_aspect_ratio),
            rotation=settings.rotation,
        )
        bits = self._bits.pop(source.pts, 0)
        key = KeyFrame(settings.codec, bits) if source.key_frame and bits else None
        return replace(from_av(source, tags), key=key)


def _too_large(what: str, width: int, height: int, limit: int) -> LimitError:
    return LimitError(f"{what} picture of {width}x{height}, which is more than the {limit} pixels that are allowed")
