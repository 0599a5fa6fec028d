"""One file through a server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from esr_client._client import Client
from esr_client._config import EncodedOutput, RawOutput, StreamConfig
from esr_client._errors import InputError, OutputError
from esr_client._frame import Frame, Packet
from esr_client._results import Negotiated, StreamStatistics
from esr_client._stream import UpscaleStream
from esr_client.files._codecs import Encoding, encoding
from esr_client.files._sink import Notice, Sink
from esr_client.files._source import Source
from esr_client.files._writers import FrameWriter, PacketWriter, Writer


class Encode(StrEnum):
    """Who encodes the upscaled frames."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """How a file is to be upscaled."""

    model: str = "esr_tr_x2"
    codec: str | None = None
    """libx264, libx265, libvpx-vp9 or libsvtav1; None is libvpx-vp9 for .webm and libx264 for others."""
    crf: int | None = None
    """Quality, smaller is better; None is the codec's usual one."""
    preset: str | None = None
    """Speed, in the codec's own words; None is the codec's usual one."""
    encode: Encode = Encode.CLIENT
    deinterlace: str = ""
    """"bwdif", or empty: interlaced frames are refused."""
    skip_undecodable: bool = False
    """Go on after a packet that cannot be decoded."""
    duration_s: float | None = None
    """End after so much video; None is to the input's end, which a live one may not have."""
    overwrite: bool = False
    open_timeout_s: float | None = 30.0
    read_timeout_s: float | None = 30.0
    """How long a live input may be silent."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is."""

    frames: int
    total: int | None
    """As the container says; None if it does not."""
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What became of a file."""

    frames: int
    """Written to the output."""
    elapsed_s: float
    negotiated: Negotiated
    statistics: StreamStatistics
    """The server's account."""
    copied: tuple[int, ...]
    """Numbers of the input's streams that were copied."""
    notices: tuple[str, ...]


def upscale_file(
    client: Client,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: FileSettings | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    notice: Notice | None = None,
) -> FileReport:
    """Upscale the video of a file, or of any URL that PyAV opens, and copy everything else that the output can hold.

    Every frame keeps its time. The output appears under its name only when it is whole. `progress` is called after
    each frame, `notice` with each remark on what could not be kept.

    Raises:
        MediaError: the input cannot be read or the output not be written.
        EsrError: the server refused or ended the stream.
    """
    settings = settings or FileSettings()
    job = _Job(client, settings, progress or (lambda _: None), notice or (lambda _: None))
    return job.run(os.fspath(source), Path(out))


class _Job:
    def __init__(
        self, client: Client, settings: FileSettings, progress: Callable[[Progress], None], notice: Notice
    ) -> None:
        self._client = client
        self._settings = settings
        self._progress = progress
        self._notice = notice
        self._notices: list[str] = []
        self._started = time.monotonic()

    def run(self, url: str, out: Path) -> FileReport:
        settings = self._settings
        timeouts = settings.open_timeout_s, settings.read_timeout_s
        with (
            Sink(out, settings.overwrite, self._note) as sink,
            Source(url, timeouts, skip_undecodable=settings.skip_undecodable, duration_s=settings.duration_s) as source,
        ):
            chosen = encoding(out, settings.codec, settings.crf, settings.preset)
            sink.choose(source)
            source.start(sink.copies)
            config = self._config(source, chosen)
            with self._client.stream(source.items(), config) as stream:
                writer = self._transfer(source, sink, chosen, stream)
            sink.commit()
            return self._report(stream, writer, sink)

    def _note(self, text: str) -> None:
        self._notices.append(text)
        self._notice(text)

    def _config(self, source: Source, chosen: Encoding) -> StreamConfig:
        settings = self._settings
        given = source.config()
        wanted = self._encoded(source, chosen) if settings.encode == Encode.SERVER else RawOutput()
        return StreamConfig(model=settings.model, input=given, output=wanted, deinterlace=settings.deinterlace)

    def _encoded(self, source: Source, chosen: Encoding) -> EncodedOutput:
        if not source.has_times:
            raise OutputError("this input's packets have no times, which only --encode client can make up")
        # Headers in the packets: the first one then says all that the muxer must know.
        return EncodedOutput(
            codec=chosen.codec, options=chosen.options, frame_rate=source.frame_rate, global_header=False
        )

    def _transfer(self, source: Source, sink: Sink, chosen: Encoding, stream: UpscaleStream[Frame | Packet]) -> Writer:
        negotiated = stream.open()
        assert negotiated is not None  # a stream with a config of its own always has a call
        writer: Writer = FrameWriter(source, sink, chosen)
        if self._settings.encode == Encode.SERVER:
            writer = PacketWriter(source, sink, chosen, negotiated.output_format)
        for item in stream:
            writer.write(item)
            sink.copy(source.take_copied())
            self._progress(Progress(writer.frames, source.frames, time.monotonic() - self._started))
        if not writer.frames:
            raise InputError("the input has no picture that could be decoded")
        writer.finish()
        sink.copy(source.take_copied())
        return writer

    def _report(self, stream: UpscaleStream[Frame | Packet], writer: Writer, sink: Sink) -> FileReport:
        assert stream.negotiated is not None
        assert stream.statistics is not None
        return FileReport(
            frames=writer.frames,
            elapsed_s=time.monotonic() - self._started,
            negotiated=stream.negotiated,
            statistics=stream.statistics,
            copied=tuple(copy.index for copy in sink.copies),
            notices=tuple(self._notices),
        )
