"""What is done with interlaced frames: refuse them, or make them progressive by FFmpeg's bwdif filter.

Upscaling a frame that holds two moments in alternate lines would smear them into each other, so one of these stages
stands before the upscaler. Each gives one frame for each frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from av.error import BlockingIOError, EOFError, FFmpegError
from av.filter.graph import Graph

from esr_media.formats import ColorModel
from esr_upscale.errors import CodecOptionError, EngineError, InterlacedError, UnsupportedFormatError
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.media.frames import FrameTags, from_av, source_of, to_av
from esr_upscale.media.layout import relayout

# Formats that bwdif does not take, and the one in which it sees their samples.
_TWINS = {"nv12": "yuv420p", "p010le": "yuv420p10le", "gray10le": "yuv420p10le"}
_MIN_WIDTH, _MIN_HEIGHT = 3, 4


class FrameStage(Protocol):
    """A stage from frames to frames."""

    def push(self, frame: Frame) -> Iterator[Frame]:
        """Take one frame and give those that are ready."""

    def flush(self) -> Iterator[Frame]:
        """Give the frames that are left."""


class RefuseInterlaced:
    """Stage: passes progressive frames and raises on the first interlaced one."""

    def push(self, frame: Frame) -> Iterator[Frame]:
        """Pass the frame on.

        Raises:
            InterlacedError: the frame is interlaced.
        """
        if frame.interlaced:
            raise InterlacedError(
                f"the frame with pts {frame.pts} is interlaced; choose deinterlace='bwdif' "
                "(esr-client: --deinterlace bwdif)"
            )
        yield frame

    def flush(self) -> Iterator[Frame]:
        yield from ()


class Deinterlacer:
    """Stage: makes interlaced frames progressive, and passes progressive ones untouched.

    Frames keep their format, tags and time. From the first interlaced frame on, each waits for the next one, which
    bwdif reads too. The first field is the top one unless the decoder said otherwise; raw frames cannot say. Not
    thread-safe. `threads` work on parts of one picture; 0 is one for each CPU.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._graph: Graph | None = None
        self._shape = ""
        self._waiting: deque[Frame] = deque()

    def push(self, frame: Frame) -> Iterator[Frame]:
        """Take one frame and give those that are ready.

        Raises:
            UnsupportedFormatError: an interlaced frame is RGB.
            InterlacedError: an interlaced frame is too small to have neighbouring lines.
        """
        shape = f"{frame.width}x{frame.height} {frame.format.name}"
        if shape != self._shape:
            yield from self.flush()
        if self._graph is None and not frame.interlaced:
            yield frame
            return
        if self._graph is None:
            self._graph, self._shape = _bwdif(frame, self._threads), shape
        self._waiting.append(frame)
        twin = _TWINS.get(frame.format.name)
        if twin is not None:
            self._graph.vpush(to_av(relayout(frame, pixel_format(twin))))
        else:
            # The decoder's own frame, if it is one, knows which field is first, and need not be copied.
            self._graph.vpush(source_of(frame) or to_av(frame))
        yield from self._ready(self._graph)

    def flush(self) -> Iterator[Frame]:
        """Give the frames that are left.

        Raises:
            EngineError: the filter kept one.
        """
        graph, self._graph, self._shape = self._graph, None, ""
        if graph is not None:
            graph.vpush(None)
            yield from self._ready(graph)
            if self._waiting:
                raise EngineError(f"the bwdif filter kept {len(self._waiting)} frames")

    def _ready(self, graph: Graph) -> Iterator[Frame]:
        # bwdif gives one frame for each, in order: the one that has waited longest is the one that comes out. So its
        # own time and tags are taken, which the filter would carry in another time base.
        while True:
            try:
                picture = graph.vpull()
            except (BlockingIOError, EOFError):
                return
            original = self._waiting.popleft()
            if not original.interlaced:
                yield original
                continue
            planar = from_av(picture, FrameTags(original.time_base))
            yield replace(original, planes=relayout(planar, original.format).planes, interlaced=False)


def _bwdif(frame: Frame, threads: int) -> Graph:
    name = _TWINS.get(frame.format.name, frame.format.name)
    if frame.format.model is ColorModel.RGB:
        raise UnsupportedFormatError(f"bwdif does not take {name}; send interlaced frames as YCbCr or gray")
    if frame.width < _MIN_WIDTH or frame.height < _MIN_HEIGHT:
        raise InterlacedError(
            f"bwdif needs frames of at least {_MIN_WIDTH}x{_MIN_HEIGHT}, not {frame.width}x{frame.height}"
        )
    graph = Graph()
    graph.threads = threads
    # deint=all, because PyAV cannot set the flag that deint=interlaced reads; `_ready` passes over progressive frames.
    nodes = (
        graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=name,
            time_base=str(frame.time_base),
        ),
        graph.add("bwdif", mode="send_frame", parity="auto", deint="all"),
        graph.add("buffersink"),
    )
    try:
        graph.link_nodes(*nodes).configure()
    except FFmpegError as error:
        raise EngineError(f"the bwdif filter cannot be set up for {name}: {error.strerror}") from error
    return graph


DEINTERLACERS: dict[str, Callable[[], FrameStage]] = {"": RefuseInterlaced, "bwdif": Deinterlacer}
"""The deinterlacers by the name that a config gives."""


def deinterlacer(name: str) -> FrameStage:
    """Make the stage of that name; the empty name refuses interlaced frames.

    Raises:
        CodecOptionError: there is none of that name.
    """
    if name not in DEINTERLACERS:
        raise CodecOptionError(
            f"deinterlace={name!r} is not known; use 'bwdif', or leave it empty to refuse interlaced frames"
        )
    return DEINTERLACERS[name]()
