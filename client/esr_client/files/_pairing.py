"""Two streams of frames, brought to one size, upright, through FFmpeg's filters: to be shown or to be measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import av
from av.error import BlockingIOError as AgainError
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat

Filters = Sequence[tuple[str, str]]
"""Names and options of FFmpeg's filters, one after the other."""

_UPRIGHT: dict[int, Filters] = {
    90: [("transpose", "cclock")],
    180: [("hflip", ""), ("vflip", "")],
    -180: [("hflip", ""), ("vflip", "")],
    -90: [("transpose", "clock")],
}
_FORMAT = "yuv444p"  # of what is compared by eye: a cut between two pixels of chroma would show


@dataclass(frozen=True, slots=True)
class Score:
    """The similarity of a video to its reference: means over all frames, on luma, as FFmpeg's filters measure."""

    psnr_db: float
    ssim: float


def _chain(graph: Graph, first: FilterContext, filters: Filters) -> FilterContext:
    """Add filters after `first` and return the last one."""
    for name, options in filters:
        following = graph.add(name, options)
        first.link_to(following)
        first = following
    return first


class Pair:
    """Two streams of frames, brought to one size, into a filter with two inputs."""

    def __init__(self, size: tuple[int, int], each: tuple[Filters, Filters], joined: Filters) -> None:
        self._size = size
        self._each = each
        self._joined = joined
        self._graph: Graph | None = None
        self._sources: list[FilterContext] = []
        self._sink: FilterContext | None = None

    def _build(self, frames: Sequence[av.VideoFrame]) -> None:
        graph = self._graph = Graph()
        width, height = self._size
        (name, options), *rest = self._joined
        join = graph.add(name, options)
        for number, (frame, filters) in enumerate(zip(frames, self._each, strict=True)):
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=VideoFormat(frame.format.name), time_base=frame.time_base
            )
            # Frames are paired by their number: times and aspect ratios are of no interest here.
            upright = _UPRIGHT.get(frame.rotation, ())
            common = [
                *upright,
                ("scale", f"{width}:{height}:flags=bicubic"),
                ("format", _FORMAT),
                ("settb", "1/25"),
                ("setpts", "N"),
            ]
            _chain(graph, source, [*common, *filters]).link_to(join, 0, number)
            self._sources.append(source)
        self._sink = graph.add("buffersink")
        _chain(graph, join, rest).link_to(self._sink)
        graph.configure()

    def push(self, *frames: av.VideoFrame) -> list[av.VideoFrame]:
        """Return the frames that two more give."""
        if self._graph is None:
            self._build(frames)
        for source, frame in zip(self._sources, frames, strict=True):
            source.push(frame)
        return self._pull()

    def flush(self) -> list[av.VideoFrame]:
        """Return what the filters still hold."""
        for source in self._sources:
            source.push(None)
        return self._pull()

    def _pull(self) -> list[av.VideoFrame]:
        frames: list[av.VideoFrame] = []
        while self._sink is not None:
            try:
                frame = self._sink.pull()
            except (AgainError, av.error.EOFError):
                break
            assert isinstance(frame, av.VideoFrame)
            frames.append(frame)
        return frames


class Meter:
    """PSNR and SSIM of one video, by FFmpeg's filters."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._pairs = {name: Pair(size, ((), ()), [(name, "")]) for name in ("psnr", "ssim")}
        self._sums = {"lavfi.psnr.mse.y": 0.0, "lavfi.ssim.Y": 0.0}
        self._frames = 0

    def add(self, frame: av.VideoFrame, reference: av.VideoFrame) -> None:
        for pair in self._pairs.values():
            self._count(pair.push(frame, reference))

    def _count(self, measured: list[av.VideoFrame]) -> None:
        for frame in measured:
            for key in self._sums:
                if key in frame.metadata:
                    self._sums[key] += float(frame.metadata[key])
                    self._frames += key == "lavfi.ssim.Y"

    def score(self) -> Score:
        """Return the means over all frames; PSNR is that of the mean squared error, infinite for equal videos."""
        for pair in self._pairs.values():
            self._count(pair.flush())
        error = self._sums["lavfi.psnr.mse.y"] / self._frames
        psnr_db = 10 * math.log10(255**2 / error) if error else math.inf
        return Score(psnr_db, self._sums["lavfi.ssim.Y"] / self._frames)
