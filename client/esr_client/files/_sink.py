"""The output: written beside its name, and renamed to it when it is whole."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import av
from av.container import OutputContainer
from av.packet import Packet as AvPacket
from av.stream import Stream

from esr_client._errors import OutputError
from esr_client.files._copies import add_copy, can_hold, copy_chapters, describe
from esr_client.files._shown import output_error
from esr_client.files._source import Source

Notice = Callable[[str], None]
StreamT = TypeVar("StreamT", bound=Stream)

_MOVIE_FORMATS = ("mp4", "mov", "ipod", "3gp", "3g2", "psp", "f4v")
_FINEST_MOVIE_TIMESCALE = 100_000_000  # 32 bits of it are 42 seconds less than an edit list may need to say


class Sink:
    """The output file. It is opened when the first picture is there, since only that has the last word on its size."""

    def __init__(self, path: Path, overwrite: bool, notice: Notice) -> None:
        """Check the name.

        Raises:
            OutputError: the file exists, its folder does not, or its suffix is of no known container.
        """
        self.path = path
        self.notice = notice
        self._part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
        self._container: OutputContainer | None = None
        self._streams: dict[int, Stream] = {}
        self.copies: list[Stream] = []
        """Streams of the input that are copied."""
        self._overwrite = overwrite
        self._rounds = False
        self._check()
        self.format_name = _format_of(path)

    def _check(self) -> None:
        if self.path.exists() and not self._overwrite:
            raise OutputError(f"{self.path} exists; say --overwrite to replace it")
        if not self.path.parent.is_dir():
            raise OutputError(f"there is no folder {self.path.parent}")

    def choose(self, source: Source) -> None:
        """Choose the streams of the input that will be copied; those that cannot are named in a notice."""
        others = [stream for stream in source.container.streams if source.may_copy(stream)]
        self.copies = [stream for stream in others if can_hold(self.format_name, stream)]
        lost = [describe(stream) for stream in others if stream not in self.copies]
        if lost:
            self.notice(f"{self.path.suffix} cannot hold {', '.join(lost)}: left out")

    def open(self, source: Source, add_video: Callable[[OutputContainer], StreamT]) -> StreamT:
        """Open the file with the video that `add_video` adds and the streams to copy, at their old places.

        Raises:
            OutputError: the container does not take one of them, or the file cannot be written.
        """
        options = {"movie_timescale": str(_movie_timescale(source, self.copies))} if self._is_movie else {}
        before = [stream for stream in self.copies if stream.index < source.video.index]
        after = [stream for stream in self.copies if stream.index > source.video.index]
        try:
            container = av.open(os.fspath(self._part), "w", format=self.format_name, container_options=options)
            self._container = container
            self._add_copies(container, before)
            video = add_video(container)
            self._add_copies(container, after)
            copy_chapters(source.container, container)
            container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise output_error(self.path, error) from error
        return video

    def _add_copies(self, container: OutputContainer, streams: Sequence[Stream]) -> None:
        for stream in streams:
            self._streams[stream.index] = add_copy(container, stream)

    @property
    def _is_movie(self) -> bool:
        return self.format_name in _MOVIE_FORMATS

    def shows(self, pts: Iterable[int]) -> int:
        """How many pictures of these times will be seen: edit lists hide those before time 0."""
        return sum(not self._is_movie or time >= 0 for time in pts)

    def write(self, packets: Iterable[AvPacket[Any]]) -> None:
        """Write packets of the video.

        Raises:
            OutputError: the file cannot be written.
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
        self.notice(f"{self.path.suffix} counts in {unit} s and the input in {packet.time_base} s: times are rounded")

    def _mux(self, packet: AvPacket[Any]) -> None:
        assert self._container is not None
        try:
            self._container.mux_one(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise output_error(self.path, error) from error

    def copy(self, packets: Iterable[AvPacket[Any]]) -> None:
        """Write packets of copied streams.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._container is None:
            return
        for packet in packets:
            packet.stream = self._streams[packet.stream_index]
            self._mux(packet)

    def commit(self) -> None:
        """Finish the file and give it its name.

        Raises:
            OutputError: it cannot be finished, or its name was taken meanwhile.
        """
        assert self._container is not None
        try:
            self._container.close()
            self._check()
            self._part.replace(self.path)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise output_error(self.path, error) from error
        self._container = None

    def discard(self) -> None:
        """Remove what is not whole. After `commit` there is nothing to remove."""
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        except (av.FFmpegError, OSError, ValueError):
            pass  # it is thrown away
        finally:
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def _format_of(path: Path) -> str:
    names = {
        ".mp4": "mp4",
        ".m4v": "mp4",
        ".mov": "mov",
        ".mkv": "matroska",
        ".webm": "webm",
        ".ts": "mpegts",
        ".avi": "avi",
    }
    found = names.get(path.suffix.lower())
    if found is None:
        raise OutputError(f"{path.name!r} has no suffix of a known container; known are {', '.join(names)}")
    return found


def _movie_timescale(source: Source, copies: Sequence[Stream]) -> int:
    """Ticks per second in which MP4 says where a stream begins: fine enough that no beginning is rounded."""
    video = source.time_base.denominator
    others = [stream.time_base.denominator for stream in copies if stream.time_base]
    finest = math.lcm(video, *others)
    return finest if finest <= _FINEST_MOVIE_TIMESCALE else video
