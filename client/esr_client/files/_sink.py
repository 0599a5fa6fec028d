"""The output: a container with the upscaled video, the streams that are copied and the audio that is encoded anew."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet as AvPacket
from av.stream import Stream

from esr_client._errors import OutputError
from esr_client.files._audio import AudioTranscoder, audio_codec
from esr_client.files._copies import add_copy, can_hold, copy_chapters, describe
from esr_client.files._destination import Destination, Kind, check_file
from esr_client.files._part import PartFile
from esr_client.files._pipes import Interrupt, PipeWriter
from esr_client.files._shown import output_error
from esr_client.files._source import Source

Notice = Callable[[str], None]
StreamT = TypeVar("StreamT", bound=Stream)

_FINEST_MOVIE_TIMESCALE = 100_000_000  # 32 bits of it are 42 seconds less than an edit list may need to say


class Sink:
    """The output. It is opened when the first picture is there, because only that has the last word on its size."""

    def __init__(
        self, destination: Destination, source: Source, *, overwrite: bool, interrupt: Interrupt, notice: Notice
    ) -> None:
        """Check the name, and choose the streams of the input that go along.

        Raises:
            OutputError: a file of this name must not be written.
        """
        self.name = destination.name
        self.notice = notice
        self.destination = destination
        self._source = source
        self._overwrite = overwrite
        self._interrupt = interrupt
        self._container: OutputContainer | None = None
        self._part: PartFile | None = None
        self._pipe: PipeWriter | None = None
        self._streams: dict[int, Stream] = {}
        self._transcoders: dict[int, AudioTranscoder] = {}
        self._rounds = False
        self._check()
        others = [stream for stream in source.container.streams if source.may_copy(stream)]
        format_name = destination.format_name
        self.copies = [stream for stream in others if can_hold(format_name, stream)]
        """Streams of the input that are copied."""
        rest = [stream for stream in others if stream not in self.copies]
        codec = audio_codec(format_name)
        self.transcoded = [stream for stream in rest if codec and isinstance(stream, AudioStream)]
        """Audio of the input that is encoded anew."""
        if self.transcoded:
            notice(f"{format_name} cannot hold {_list(self.transcoded)}: encoded anew as {codec}")
        lost = [stream for stream in rest if stream not in self.transcoded]
        if lost:
            notice(f"{format_name} cannot hold {_list(lost)}: left out")

    def _check(self) -> None:
        if "://" not in self.destination.url and self.destination.kind is not Kind.PIPE:
            check_file(
                Path(self.destination.url),
                self._source.url,
                overwrite=self._overwrite,
                makes_folder=self.destination.is_playlist,
            )

    def open(self, add_video: Callable[[OutputContainer], StreamT]) -> StreamT:
        """Open the output with the video that `add_video` adds, and the other streams at their old places.

        Raises:
            OutputError: the container does not take one of them, or the output cannot be written.
        """
        before = [stream for stream in self.streams if stream.index < self._source.video.index]
        after = [stream for stream in self.streams if stream.index > self._source.video.index]
        options = dict(self.destination.options)
        if self.destination.is_movie:
            # The ticks per second in which MP4 says where a stream begins: fine enough that nothing is rounded.
            video_ticks = self._source.time_base.denominator
            finest = math.lcm(video_ticks, *(s.time_base.denominator for s in self.streams if s.time_base))
            options["movie_timescale"] = str(finest if finest <= _FINEST_MOVIE_TIMESCALE else video_ticks)
        if self.destination.format_name == "yuv4mpegpipe":
            options["strict"] = "-1"  # FFmpeg counts more than 8 bits as an extension of the format
        with self._writing():
            container = self._container = av.open(
                self._open_target(), "w", format=self.destination.format_name, options=options
            )
            self._add_others(container, before)
            video = add_video(container)
            self._add_others(container, after)
            copy_chapters(self._source.container, container, shift_s=self._source.shift_s)
            container.start_encoding()
        return video

    @property
    def streams(self) -> list[Stream]:
        """Return the streams of the input whose packets the sink wants, in the input's order."""
        return sorted([*self.copies, *self.transcoded], key=lambda stream: stream.index)

    def _open_target(self) -> Any:  # noqa: ANN401 -- a path, a URL or a file object, as PyAV takes them
        if self.destination.kind is Kind.FILE:
            self._part = PartFile(Path(self.destination.url))
            return str(self._part.path)
        if self.destination.kind is Kind.PIPE:
            self._pipe = PipeWriter(self.destination.url, self._interrupt)
            return self._pipe
        if self.destination.is_playlist and "://" not in self.destination.url:
            Path(self.destination.url).parent.mkdir(parents=True, exist_ok=True)
        return self.destination.url

    def _add_others(self, container: OutputContainer, streams: Sequence[Stream]) -> None:
        for stream in streams:
            if isinstance(stream, AudioStream) and stream in self.transcoded:
                transcoder = AudioTranscoder(stream, container, audio_codec(self.destination.format_name) or "")
                self._transcoders[stream.index] = transcoder
            else:
                self._streams[stream.index] = add_copy(container, stream)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Raise what goes wrong as the output's error."""
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as error:
            if self._pipe is not None and self._pipe.error is not None:
                raise self._pipe.error from error
            raise output_error(self.name, error) from error

    def shows(self, pts: Iterable[int]) -> int:
        """Return how many pictures of these times will be seen: edit lists hide those before time 0."""
        return sum(not self.destination.is_movie or time >= 0 for time in pts)

    def write(self, packets: Iterable[AvPacket[Any]]) -> None:
        """Write packets of the video.

        Raises:
            OutputError: the output cannot be written.
        """
        for packet in packets:
            self._check_time(packet)
            self._mux(packet)

    def _check_time(self, packet: AvPacket[Any]) -> None:
        # Muxers choose their unit when they write the header; Matroska's is always a millisecond.
        unit = packet.stream.time_base
        if self._rounds or not unit or packet.pts is None or (packet.pts * packet.time_base / unit).denominator == 1:
            return
        self._rounds = True
        self.notice(
            f"{self.destination.format_name} counts in {unit} s and the input in {packet.time_base} s: "
            "times are rounded"
        )

    def _mux(self, packet: AvPacket[Any]) -> None:
        assert self._container is not None
        with self._writing():
            self._container.mux_one(packet)

    def copy(self, packets: Iterable[AvPacket[Any]]) -> None:
        """Write packets of the other streams of the input.

        Raises:
            OutputError: the output cannot be written.
        """
        if self._container is None:
            return
        for packet in packets:
            index = packet.stream_index
            if index in self._transcoders:
                self._write_audio(self._transcoders[index], packet)
            else:
                packet.stream = self._streams[index]
                self._mux(packet)

    def _write_audio(self, transcoder: AudioTranscoder, packet: AvPacket[Any] | None) -> None:
        with self._writing():
            packets = transcoder.push(packet)
        for encoded in packets:
            self._mux(encoded)

    def commit(self) -> None:
        """Finish the output, and give a file its name.

        Raises:
            OutputError: it cannot be finished, or its name was taken meanwhile.
        """
        assert self._container is not None
        for transcoder in self._transcoders.values():
            self._write_audio(transcoder, None)
        with self._writing():
            self._container.close()
            self._container = None
            if self._part is not None:
                self._check()
                self._part.commit()

    def discard(self) -> None:
        """Remove a file that is not complete. After `commit` there is nothing to remove."""
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        except (av.FFmpegError, OSError, ValueError, OutputError):
            pass  # it is thrown away
        finally:
            for output in (self._part, self._pipe):
                if output is not None:
                    output.close()
            self._part = self._pipe = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def _list(streams: Sequence[Stream]) -> str:
    return ", ".join(describe(stream) for stream in streams)
