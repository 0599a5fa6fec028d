"""One file through a server: everything that can be known is checked first, then its frames are sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from esr_client._client import Client
from esr_client._config import EncodedOutput, RawOutput, StreamConfig
from esr_client._errors import InputError, OutputError
from esr_client._frame import Frame, Packet
from esr_client._results import Negotiated, StreamStatistics
from esr_client._stream import UpscaleStream
from esr_client.files._codecs import Encoding, encoder_format, encoder_row, encoding, is_even_only
from esr_client.files._decoded import check_pixel_format
from esr_client.files._destination import Kind, check_file, parse_destination
from esr_client.files._input_settings import InputSettings
from esr_client.files._pipes import Interrupt
from esr_client.files._resize import Resizer, WantedSize, default_model, scale_for
from esr_client.files._sink import Notice, Sink
from esr_client.files._source import Source
from esr_client.files._writers import FrameWriter, PacketWriter, Writer

_LIVE_PRESET = "veryfast"  # someone waits for each picture
_LONGEST_STEP_S = 0.5


class Encode(StrEnum):
    """The side that encodes the upscaled frames."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """Settings to upscale a file."""

    model: str | None = None
    """None: esr_stack at the smallest scale that makes the wanted size; ×2 if no size is wanted."""
    size: WantedSize = field(default_factory=WantedSize)
    codec: str | None = None
    """h264, hevc, vp9, av1 or rawvideo, or FFmpeg's name of an encoder for them. None: vp9 for WebM, rawvideo for y4m
    and rawvideo, h264 for others."""
    crf: int | None = None
    """Quality, lower is better: 0 to 51 for h264 and hevc, to 63 for vp9 and av1. None: 18, 20, 24 and 24."""
    preset: str | None = None
    """Speed, by the encoder's own names. None: medium for h264 and hevc, 4 for vp9, 8 for av1."""
    encode: Encode = Encode.CLIENT
    deinterlace: str = ""
    """"bwdif", or empty: interlaced frames are refused."""
    input: InputSettings = field(default_factory=InputSettings)
    output_format: str | None = None
    """FFmpeg's name of the output's container, or y4m, mkv or ts; None: by its suffix or protocol."""
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a file."""

    frames: int
    total: int | None
    """As the container says; None if it does not."""
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """The result of a file."""

    frames: int
    """Written to the output."""
    elapsed_s: float
    negotiated: Negotiated
    statistics: StreamStatistics
    """The server's account."""
    copied: tuple[int, ...]
    """Numbers of the input's streams that were copied."""
    notices: tuple[str, ...]
    size: tuple[int, int]
    """Width and height of the output."""


def upscale_file(
    client: Client,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: FileSettings | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    notice: Notice | None = None,
) -> FileReport:
    """Upscale the video of a file, a pipe or any URL that PyAV opens, and copy everything else that the output holds.

    Every frame keeps its time. A file is renamed into place when it is complete. `progress` is called after each frame,
    `notice` with each remark on what could not be kept.

    Raises:
        MediaError: the input cannot be read or the output not be written.
        EsrError: the server refused or ended the stream.
    """
    with FileJob(source, out, settings, notice=notice) as job:
        return job.run(client, progress=progress)


class FileJob:
    """One input and one output, opened and checked; `run` sends the frames. No server is needed before that."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        out: str | os.PathLike[str],
        settings: FileSettings | None = None,
        *,
        notice: Notice | None = None,
        interrupt: Interrupt | None = None,
    ) -> None:
        """Check the names, open the input, and choose model, size, encoder and streams.

        `interrupt` ends waits of another thread, also those for a pipe while the input is opened.

        Raises:
            MediaError: the input cannot be read or the output not be written.
        """
        self._settings = settings = settings or FileSettings()
        self._tell = notice or (lambda _: None)
        self._notices: list[str] = []
        self._stack = ExitStack()
        self._interrupt = interrupt or self._stack.enter_context(Interrupt())
        self._first_time_s: Fraction | None = None
        self._first_clock_s = 0.0
        self.destination = parse_destination(out, settings.output_format)
        self._encoding = self._choose_encoding()
        try:
            url = os.fspath(source)
            if self.destination.kind is Kind.FILE:
                check_file(Path(self.destination.url), url, overwrite=settings.overwrite)
            self._source = self._stack.enter_context(Source(url, settings.input, self._interrupt))
            sink = Sink(
                self.destination,
                self._source,
                overwrite=settings.overwrite,
                interrupt=self._interrupt,
                notice=self._note,
            )
            self._sink = self._stack.enter_context(sink)
            self._source.start(sink.streams)
            if settings.encode == Encode.SERVER:
                self._source.begin_at_keyframe()
            self._check_input()
            self._size = self._wanted_size()
            fmt, size = self._source.format(), self._size
            self.model = settings.model or default_model(scale_for(size, fmt.width, fmt.height) if size else 2)
            self._config = self._stream_config()
        except BaseException:
            self._stack.close()
            raise

    def _check_input(self) -> None:
        """Refuse what the input's headers and first picture already rule out."""
        settings = self._settings.input
        if not self._source.has_times and (settings.start_s or settings.duration_s is not None):
            raise InputError(
                "this input's packets have no times, so a part cannot be taken; put it into a container first: "
                "ffmpeg -r 25 -i IN -c copy OUT.mkv"
            )
        known = self._source.format().pixel_format
        if known:
            check_pixel_format(known)
            if self._settings.encode == Encode.CLIENT:
                encoder_format(self._encoding.codec, known)
        if self._source.picture.is_interlaced and not self._settings.deinterlace:
            raise InputError(
                "the video is interlaced; add --deinterlace bwdif (FileSettings.deinterlace) to make it progressive"
            )

    def _choose_encoding(self) -> Encoding:
        settings, destination = self._settings, self.destination
        choice = encoding(
            destination.format_name,
            settings.codec,
            settings.crf,
            settings.preset,
            default_codec=destination.codec,
            default_preset=_LIVE_PRESET if destination.is_live else None,
        )
        if settings.encode == Encode.SERVER and not encoder_row(choice.codec).presets:
            raise OutputError(f"the server does not encode {choice.codec}; leave out --encode server")
        return choice

    def _wanted_size(self) -> tuple[int, int] | None:
        source = self._source.format()
        even = not source.pixel_format or is_even_only(self._encoding.codec, source.pixel_format)
        size_setting = self._settings.size
        size = size_setting.of(source.width, source.height, even=even)
        if size is None:
            return None
        if self._settings.encode == Encode.SERVER:
            raise OutputError("the server encodes what its model makes; leave out --encode server for another size")
        if (size_setting.width or size[0], size_setting.height or size[1]) != size:
            self._note(f"{self._encoding.codec} takes even sizes: the output is {size[0]}x{size[1]}")
        return size

    def _stream_config(self) -> StreamConfig:
        settings, source = self._settings, self._source
        output: RawOutput | EncodedOutput = RawOutput()
        if settings.encode == Encode.SERVER:
            if not source.has_times:
                raise OutputError("this input's packets have no times, which only --encode client can fill in")
            # Headers in the packets: the first one then says all that the muxer must know.
            output = EncodedOutput(
                codec=self._encoding.codec,
                options=self._encoding.options,
                frame_rate=source.frame_rate,
                global_header=False,
            )
        return StreamConfig(model=self.model, input=source.config(), output=output, deinterlace=settings.deinterlace)

    def run(self, client: Client, *, progress: Callable[[Progress], None] | None = None) -> FileReport:
        """Send the frames and write the output. A job runs once.

        Raises:
            MediaError: the input cannot be read or the output not be written.
            EsrError: the server refused or ended the stream.
        """
        started = time.monotonic()
        with client.stream(self._source.items(), self._config) as stream:
            writer = self._transfer(stream, progress or (lambda _: None), started)
            self._tell_losses(stream, writer)
        self._sink.commit()
        assert stream.negotiated is not None
        assert stream.statistics is not None
        output_format = stream.negotiated.output_format
        return FileReport(
            frames=writer.frames,
            elapsed_s=time.monotonic() - started,
            negotiated=stream.negotiated,
            statistics=stream.statistics,
            copied=tuple(copy.index for copy in self._sink.copies),
            notices=tuple(self._notices),
            size=self._size or (output_format.width, output_format.height),
        )

    def _transfer(
        self, stream: UpscaleStream[Frame | Packet], progress: Callable[[Progress], None], started: float
    ) -> Writer:
        source, sink = self._source, self._sink
        negotiated = stream.open()
        assert negotiated is not None  # a stream with a config of its own always has a call
        if self._settings.encode == Encode.SERVER:
            writer: Writer = PacketWriter(source, sink, self._encoding, negotiated.output_format)
        else:
            self._check_scale(negotiated)
            resizer = Resizer(*self._size) if self._size else None
            writer = FrameWriter(source, sink, self._encoding, resizer)
        for item in stream:
            if self.destination.is_live and item.pts is not None:
                self._keep_pace(item.pts * source.time_base)
            writer.write(item)
            sink.copy(source.take_copied())
            progress(Progress(writer.frames, source.frames, time.monotonic() - started))
        if not writer.frames:
            raise InputError("no picture could be decoded from the input, or from the part to take")
        writer.finish()
        sink.copy(source.take_copied())
        return writer

    def _check_scale(self, negotiated: Negotiated) -> None:
        if self._size is None:
            return
        source = self._source.format()
        width, height = source.width * negotiated.scale, source.height * negotiated.scale
        if self._size[0] > width or self._size[1] > height:
            scale = scale_for(self._size, source.width, source.height)
            raise InputError(
                f"{negotiated.model} makes {width}x{height}, which is less than {self._size[0]}x{self._size[1]}; "
                f"choose a model of x{scale}, or none"
            )

    def _keep_pace(self, time_s: Fraction) -> None:
        """Wait until a frame is due: who watches a stream on the network cannot take it faster than it plays."""
        if self._first_time_s is None:
            self._first_time_s, self._first_clock_s = time_s, time.monotonic()
        due_s = self._first_clock_s + float(time_s - self._first_time_s)
        while (remaining_s := due_s - time.monotonic()) > 0:
            if self._interrupt.wait(min(remaining_s, _LONGEST_STEP_S)):
                return

    def _tell_losses(self, stream: UpscaleStream[Frame | Packet], writer: Writer) -> None:
        """Name pictures that could not be decoded, of which the rest of the output says nothing."""
        statistics = stream.statistics
        if statistics is None or not self._settings.input.skip_undecodable:
            return
        source = self._source
        damaged = statistics.packets_skipped + source.undecodable
        lost = source.video_packets - (statistics.frames_in + statistics.frames_failed)
        if damaged or lost > 0:
            self._note(
                f"{writer.frames} of {source.video_packets} pictures were written; "
                f"{max(lost, damaged)} could not be decoded ({damaged} damaged packets)"
            )

    def _note(self, text: str) -> None:
        self._notices.append(text)
        self._tell(text)

    def close(self) -> None:
        """Close the input, and remove an output that is not complete."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
