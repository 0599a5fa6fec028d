"""Two videos or pictures side by side, and how near each is to a reference."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from esr_client._errors import InputError, OutputError
from esr_client.files._codecs import encoding
from esr_client.files._destination import STANDARD_STREAM, check_file, parse_destination
from esr_client.files._pairing import Filters, Meter, Pair, Score
from esr_client.files._part import PartFile
from esr_client.files._shown import display_name, open_error, output_error, reason
from esr_media.ratio import to_fraction

_PICTURE_SUFFIX = ".png"
_DEFAULT_TIME_BASE = Fraction(1, 25)
_MOST_APART_S = 0.02  # of frames that belong together: containers round times


class Layout(StrEnum):
    """An arrangement of two pictures in one."""

    SIDE = "side"
    """A left of B, each whole."""
    SPLIT = "split"
    """Join the left half of A and the right half of B, with a white line between them."""
    ZOOM = "zoom"
    """The middle ninth of each, three times as large, side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of a comparison."""

    frames: int
    size: tuple[int, int]
    """Width and height at which A and B were compared."""
    scores: tuple[Score, Score] | None
    """Of A and of B; None without a reference."""
    longer: tuple[str, ...] = ()
    """Inputs that have more frames than were compared."""


def compare(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    *,
    reference: str | os.PathLike[str] | None = None,
    layout: Layout = Layout.SIDE,
    at_s: float | None = None,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Compare two videos or pictures, frame by frame, and write them into one picture (.png) or video.

    All are brought to the size of the reference, or of the larger of the two, with FFmpeg's bicubic. A picture shows
    the frame at `at_s` seconds, or the first one. Without `out` only the scores are measured. `should_stop` is asked
    before each frame, from the calling thread.

    Raises:
        InputError: an input cannot be read or has no frame, or the videos have other times.
        OutputError: the output cannot be written, or `should_stop` said so; then no file is left.
        ValueError: there is neither an output nor a reference.
    """
    if out is None and reference is None:
        raise ValueError("name an output with -o, or a reference to measure against, or both")
    names = [os.fspath(name) for name in (a, b, reference) if name is not None]
    if out is not None and os.fspath(out) == STANDARD_STREAM:
        raise OutputError("compare writes a file; name one, such as compare.png or compare.mp4")
    if out is not None:
        for name in names:
            check_file(Path(out), name, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        inputs = [stack.enter_context(_Input(name)) for name in names]
        size = _common_size(inputs)
        screen = stack.enter_context(_Screen(Path(out), size, layout, at_s)) if out is not None else None
        meters = (Meter(size), Meter(size)) if reference is not None else None
        frames = 0
        streams = [source.frames() for source in inputs]
        for pictures in zip(*streams, strict=False):
            if should_stop():
                raise OutputError("stopped")
            _check_times(inputs, pictures, frames)
            frames += 1
            if meters is not None:
                for meter, picture in zip(meters, pictures, strict=False):
                    meter.add(picture, pictures[2])
            if screen is not None:
                screen.show(pictures[0], pictures[1])
                if screen.is_done and meters is None:
                    break
        if not frames:
            raise InputError(f"{display_name(names[0])} or {display_name(names[1])} has no frame")
        if screen is not None:
            screen.finish()
        is_whole = screen is None or not screen.is_done or meters is not None
        longer = tuple(source.name for source in inputs if is_whole and source.has_more())
        scores = (meters[0].score(), meters[1].score()) if meters is not None else None
        return Comparison(frames=frames, size=size, scores=scores, longer=longer)


class _Input:
    """One video or picture that is read from its beginning."""

    def __init__(self, name: str) -> None:
        self.name = display_name(name)
        try:
            self._container = av.open(name, "r")
        except (av.FFmpegError, OSError) as error:
            raise open_error(name, error) from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{self.name} has no video")
        self._frames = self._decode()
        try:
            self._first = next(self._frames, None)
        except InputError:
            self._container.close()
            raise
        self._begin_s = self._first.time if self._first is not None else None

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height as shown, upright."""
        if self._first is None:
            return 0, 0
        width, height = self._first.width, self._first.height
        return (height, width) if self._first.rotation % 180 else (width, height)

    def frames(self) -> Iterator[av.VideoFrame]:
        if self._first is not None:
            yield self._first
        yield from self._frames

    def has_more(self) -> bool:
        """Return whether a frame is left."""
        return next(self._frames, None) is not None

    def since_begin_s(self, frame: av.VideoFrame) -> float | None:
        """Return a frame's time after the first one's, if both have one."""
        return None if frame.time is None or self._begin_s is None else frame.time - self._begin_s

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            yield from self._container.decode(video=0)
        except av.FFmpegError as error:
            raise InputError(f"cannot decode {self.name}: {reason(error)}") from error

    def __enter__(self) -> _Input:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


def _common_size(inputs: Sequence[_Input]) -> tuple[int, int]:
    """Return the size to compare at: the reference's, or the larger one's. Encoders want it even."""
    sizes = [source.size for source in inputs]
    width, height = sizes[2] if len(sizes) == 3 else max(sizes, key=lambda size: size[0] * size[1])
    return width - width % 2, height - height % 2


def _check_times(inputs: Sequence[_Input], frames: Sequence[av.VideoFrame], number: int) -> None:
    """Refuse videos whose frames do not belong together, such as those of two frame rates."""
    times = [source.since_begin_s(frame) for source, frame in zip(inputs, frames, strict=True)]
    known_times = [time for time in times if time is not None]
    if len(known_times) == len(times) and max(known_times) - min(known_times) > _MOST_APART_S:
        times_text = ", ".join(
            f"{source.name} at {time:.3f} s" for source, time in zip(inputs, known_times, strict=True)
        )
        raise InputError(f"frame {number} is {times_text}; only videos with the same frames can be compared")


_LAYOUTS: dict[Layout, tuple[Filters, Filters]] = {
    Layout.SIDE: ((), ()),
    Layout.SPLIT: (
        [("crop", "iw/2:ih:0:0")],
        [("crop", "iw/2:ih:iw/2:0"), ("drawbox", "x=0:y=0:w=2:h=ih:color=white:t=fill")],
    ),
    Layout.ZOOM: (
        [("crop", "iw/3:ih/3"), ("scale", "iw*3:ih*3:flags=neighbor")],
        [("crop", "iw/3:ih/3"), ("scale", "iw*3:ih*3:flags=neighbor")],
    ),
}


class _Screen:
    """The picture or video in which both are seen."""

    def __init__(self, out: Path, size: tuple[int, int], layout: Layout, at_s: float | None) -> None:
        self._out = out
        self._at_s = at_s
        self._is_picture = out.suffix.lower() == _PICTURE_SUFFIX
        self._format_name = "image2" if self._is_picture else parse_destination(out).format_name
        self._encoding = None if self._is_picture else encoding(self._format_name, None, None, None)
        self._pair = Pair(size, _LAYOUTS[layout], [("hstack", "inputs=2")])
        self._part = PartFile(out)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._times: deque[tuple[int | None, Fraction]] = deque()
        self.is_done = False
        """Whether no more frames are needed."""

    def show(self, a: av.VideoFrame, b: av.VideoFrame) -> None:
        """Add two frames, at the time of the first."""
        if self.is_done or (self._is_picture and self._at_s is not None and (a.time or 0.0) < self._at_s):
            return
        self.is_done = self._is_picture
        self._times.append((a.pts, to_fraction(a.time_base) or _DEFAULT_TIME_BASE))
        self._write(self._pair.push(a, b))

    def _write(self, frames: list[av.VideoFrame]) -> None:
        try:
            for frame in frames:
                pts, time_base = self._times.popleft()
                if self._container is None or self._stream is None:
                    self._container, self._stream = self._open(frame, time_base)
                frame.pts, frame.time_base = pts, time_base
                self._container.mux(self._stream.encode(frame.reformat(format=self._stream.pix_fmt)))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise output_error(self._out, error) from error

    def _open(self, frame: av.VideoFrame, time_base: Fraction) -> tuple[OutputContainer, VideoStream]:
        options = {"update": "1"} if self._is_picture else {}
        container = av.open(str(self._part.path), "w", format=self._format_name, options=options)
        codec = "png" if self._encoding is None else self._encoding.codec
        av_stream: Any = container.add_stream(
            codec, rate=25, options=dict(self._encoding.options) if self._encoding else {}
        )
        stream: VideoStream = av_stream
        stream.width, stream.height = frame.width, frame.height
        stream.pix_fmt = "rgb24" if self._is_picture else "yuv420p"
        stream.codec_context.time_base = stream.time_base = time_base
        return container, stream

    def finish(self) -> None:
        """Write what the filters and the encoder hold, and give the file its name.

        Raises:
            InputError: no frame is as late as was asked for.
            OutputError: the file cannot be written.
        """
        self._write(self._pair.flush())
        if self._container is None or self._stream is None:
            raise InputError(f"the videos end before {self._at_s:g} s")
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
            self._part.commit()
        except (av.FFmpegError, OSError) as error:
            raise output_error(self._out, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is not None:
            self._container.close()
        self._part.close()
