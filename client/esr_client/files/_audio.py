"""Audio that the output's container cannot hold, decoded and encoded as something that it can."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import BlockingIOError as AgainError
from av.filter import Graph
from av.packet import Packet as AvPacket

from esr_client.files._copies import lasting_metadata

_CODECS = {
    "webm": "libopus",
    "mp4": "aac",
    "mov": "aac",
    "matroska": "aac",
    "mpegts": "aac",
    "rtp_mpegts": "aac",
    "hls": "aac",
    "flv": "aac",
    "avi": "libmp3lame",
    "nut": "aac",
}
_BITS_PER_SECOND_PER_CHANNEL = 80_000  # transparent for Opus, and good for AAC and MP3


def audio_codec(format_name: str) -> str | None:
    """Return the encoder for audio in a container; None if it holds no audio."""
    return _CODECS.get(format_name)


class AudioTranscoder:
    """One audio stream, decoded, brought to a rate and sample format of the encoder, and encoded."""

    def __init__(self, source: AudioStream, output: OutputContainer, codec: str) -> None:
        """Add the encoder's stream to `output`.

        Raises:
            ValueError, av.FFmpegError: the container or the encoder does not take it.
        """
        self._source = source
        rates = av.Codec(codec, "w").audio_rates
        rate = source.rate if not rates or source.rate in rates else 48000
        av_stream: Any = output.add_stream(codec, rate=rate, layout=source.layout.name)
        self._stream: AudioStream = av_stream
        self._stream.bit_rate = _BITS_PER_SECOND_PER_CHANNEL * source.layout.nb_channels
        self._stream.time_base = Fraction(1, rate)
        av_stream.disposition = source.disposition
        self._stream.metadata.update(lasting_metadata(source.metadata))
        self._graph: Graph | None = None

    def push(self, packet: AvPacket[Any] | None) -> list[AvPacket[Any]]:
        """Return the packets that one packet of the input gives; None flushes.

        Raises:
            av.FFmpegError: the audio cannot be encoded.
        """
        try:
            frames = self._source.codec_context.decode(packet)
        except av.error.InvalidDataError:
            frames = []  # a damaged packet is a gap, which the resampler fills with silence
        encoded: list[AvPacket[Any]] = []
        for frame in frames:
            if self._graph is None:
                self._graph = self._resampler(frame)
            self._graph.push(frame)
            encoded += self._encode_ready()
        if packet is None and self._graph is not None:
            self._graph.push(None)
            encoded += self._encode_ready()
        if packet is None:
            encoded += self._stream.encode(None)
        return encoded

    def _resampler(self, frame: av.AudioFrame) -> Graph:
        context = self._stream.codec_context
        if not context.is_open:
            context.open()
        graph = Graph()
        source = graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base or self._source.time_base,
        )
        fill_gaps = graph.add("aresample", "async=1")
        form = f"sample_fmts={context.format.name}:sample_rates={context.rate}:channel_layouts={context.layout.name}"
        shape = graph.add("aformat", form)
        sink = graph.add("abuffersink")
        source.link_to(fill_gaps)
        fill_gaps.link_to(shape)
        shape.link_to(sink)
        graph.configure()
        if context.frame_size:
            graph.set_audio_frame_size(context.frame_size)
        return graph

    def _encode_ready(self) -> list[AvPacket[Any]]:
        assert self._graph is not None
        encoded: list[AvPacket[Any]] = []
        while True:
            try:
                frame = self._graph.pull()
            except (AgainError, av.error.EOFError):
                return encoded
            assert isinstance(frame, av.AudioFrame)
            encoded += self._stream.encode(frame)
