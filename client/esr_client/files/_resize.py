"""Sizes between those that the models make: upscaled by the next larger scale, then reduced with Lanczos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from av.filter import Graph
from av.video.format import VideoFormat

from esr_client import _av_frame
from esr_client._errors import InputError
from esr_client._frame import Frame, pixel_format
from esr_media.color import ChromaLocation

SCALES = (2, 3, 4)
_LOCATIONS = {
    ChromaLocation.UNSPECIFIED: "left",
    ChromaLocation.LEFT: "left",
    ChromaLocation.CENTER: "center",
    ChromaLocation.TOPLEFT: "topleft",
    ChromaLocation.TOP: "top",
    ChromaLocation.BOTTOMLEFT: "bottomleft",
    ChromaLocation.BOTTOM: "bottom",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSize:
    """The size that the output is to have: one of its sides, both, or a factor. Nothing: what the model makes."""

    width: int | None = None
    height: int | None = None
    scale: Fraction | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and (self.width is not None or self.height is not None):
            raise ValueError("a size is either a scale or a width and height, not both")
        for name, value in (("width", self.width), ("height", self.height), ("scale", self.scale)):
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")

    def of(self, width: int, height: int, *, even: bool) -> tuple[int, int] | None:
        """Return the width and height of the output for an input's; None if the model's own size is wanted.

        The aspect ratio is kept to within a pixel where only one side is given. `even` sizes suit subsampled chroma.

        Raises:
            InputError: the size is smaller than the input's, or more than the largest model makes.
        """
        if self.width is None and self.height is None and self.scale is None:
            return None
        if self.scale is not None:
            exact_size = width * self.scale, height * self.scale
        else:
            factor = Fraction(self.height, height) if self.height is not None else Fraction(self.width or 0, width)
            exact_size = (
                Fraction(self.width) if self.width is not None else width * factor,
                Fraction(self.height) if self.height is not None else height * factor,
            )
        step = 2 if even else 1
        size = max(step, round(exact_size[0] / step) * step), max(step, round(exact_size[1] / step) * step)
        if size[0] < width or size[1] < height:
            raise InputError(
                f"the input is {width}x{height} and {size[0]}x{size[1]} is smaller; this program makes video larger"
            )
        if size[0] > width * SCALES[-1] or size[1] > height * SCALES[-1]:
            raise InputError(
                f"{size[0]}x{size[1]} is more than {SCALES[-1]} times the input's {width}x{height}; "
                f"choose at most {width * SCALES[-1]}x{height * SCALES[-1]}"
            )
        return size


def default_model(scale: int) -> str:
    """Return the model of files and pictures that no model is named for: the best picture at a moderate cost."""
    return f"esr_stack_x{scale}"


def scale_for(size: tuple[int, int], width: int, height: int) -> int:
    """Return the smallest scale of the models that makes a picture at least as large as `size`."""
    return next(scale for scale in SCALES if size[0] <= width * scale and size[1] <= height * scale)


class Resizer:
    """Reduces frames to one size with FFmpeg's Lanczos filter. Chroma keeps its siting, and SAR stays as it is."""

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._graph: Graph | None = None
        self._format: tuple[Any, ...] = ()

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame at the wanted size, with its time and tags."""
        if (frame.width, frame.height) == self._size:
            return frame
        picture = _av_frame.from_frame(frame)
        shape = frame.width, frame.height, frame.pixel_format, frame.color
        if self._graph is None or self._format != shape:
            self._graph, self._format = self._build(frame), shape
        self._graph.push(picture)
        reduced = self._graph.vpull()
        width, height = self._size
        return replace(frame, planes=_av_frame.planes_of(reduced), width=width, height=height)

    def _build(self, frame: Frame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=VideoFormat(frame.pixel_format),
            time_base=frame.time_base,
        )
        options = f"{self._size[0]}:{self._size[1]}:flags=lanczos+accurate_rnd+full_chroma_int"
        chroma = pixel_format(frame.pixel_format).planes[-1]
        if chroma.shift_x or chroma.shift_y:
            location = _LOCATIONS[frame.color.chroma_location]
            options += f":in_chroma_loc={location}:out_chroma_loc={location}"
        scale = graph.add("scale", options)
        # Without it the filter may choose another format of the same kind.
        shape = graph.add("format", f"pix_fmts={frame.pixel_format}")
        sink = graph.add("buffersink")
        graph.link_nodes(source, scale, shape, sink)
        graph.configure()
        return graph
