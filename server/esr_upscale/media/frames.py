"""Between FFmpeg's frames and ours: views of planes one way, one copy the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from av.video.frame import VideoFrame

from esr_media.av_planes import owner_of, plane_views
from esr_media.color import UNSPECIFIED, ChromaLocation, Color, ColorRange
from esr_upscale.frame import Frame, pixel_format

# Names that say "full range" in the format instead of in the tag; the layout is that of the other name.
_FULL_RANGE_TWINS = {"yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
_FULL_RANGE_FORMATS = frozenset({"yuvj420p", *_FULL_RANGE_TWINS})


@dataclass(frozen=True, slots=True)
class FrameTags:
    """Tags of a stream's frames from outside their own data, such as from a container.

    Fields of `color` that are set win over the frame's own; `default_chroma_location` stands behind both. `rotation` is
    in degrees, counter-clockwise; 0 leaves the frame's own.
    """

    time_base: Fraction
    color: Color | None = None
    default_chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED
    sample_aspect_ratio: Fraction | None = None
    rotation: int = 0


def from_av(source: VideoFrame, tags: FrameTags) -> Frame:
    """View `source` as a `Frame`, without a copy.

    The planes are read-only, because a decoder may still predict from them. They keep `source` alive.

    Raises:
        UnsupportedFormatError: the pixel format is not in the table.
    """
    name = source.format.name
    fmt = pixel_format(_FULL_RANGE_TWINS.get(name, name))
    planes = plane_views(source, fmt)
    for plane in planes:
        plane.flags.writeable = False
    return Frame(
        format=fmt,
        width=source.width,
        height=source.height,
        planes=planes,
        pts=source.pts,
        duration=source.duration or None,
        time_base=tags.time_base,
        color=_color(source, tags),
        sample_aspect_ratio=tags.sample_aspect_ratio,
        rotation=tags.rotation or source.rotation,
        interlaced=source.interlaced_frame,
        corrupt=source.is_corrupt,
    )


def to_av(frame: Frame) -> VideoFrame:
    """Copy `frame` into FFmpeg's memory, with its time and colour tags.

    The siting, sample aspect ratio and interlaced flag are not set: PyAV 18 can set none of them, 19 only the siting.
    Who needs them must say them elsewhere.
    """
    target = VideoFrame(frame.width, frame.height, frame.format.name)
    for view, plane in zip(plane_views(target, frame.format), frame.planes, strict=True):
        view[...] = plane
    target.pts = frame.pts
    target.time_base = frame.time_base
    target.duration = frame.duration or 0
    target.color_range = frame.color.range
    target.color_primaries = frame.color.primaries
    target.color_trc = frame.color.transfer
    target.colorspace = frame.color.matrix
    return target


def source_of(frame: Frame) -> VideoFrame | None:
    """Return the FFmpeg frame that all planes of `frame` view, as `from_av` made them; None if there is none.

    It has flags that `Frame` has no field for, such as which field comes first.
    """
    return owner_of(frame.planes, frame.width, frame.height)


def overlay(under: Color, over: Color) -> Color:
    """Return `under`, with each tag that `over` specifies in its place."""
    return Color(
        range=over.range or under.range,
        primaries=_first_specified(over.primaries, under.primaries),
        transfer=_first_specified(over.transfer, under.transfer),
        matrix=_first_specified(over.matrix, under.matrix),
        chroma_location=over.chroma_location or under.chroma_location,
    )


def _first_specified(over: int, under: int) -> int:
    return under if over == UNSPECIFIED else over


def _color(source: VideoFrame, tags: FrameTags) -> Color:
    own = Color(
        range=ColorRange.FULL if source.format.name in _FULL_RANGE_FORMATS else ColorRange(int(source.color_range)),
        # 0 is reserved for these two, and not for the matrix (where it is RGB).
        primaries=int(source.color_primaries) or UNSPECIFIED,
        transfer=int(source.color_trc) or UNSPECIFIED,
        matrix=int(source.colorspace),
        # PyAV 18 cannot read it.
        chroma_location=ChromaLocation(int(getattr(source, "chroma_location", 0))),
    )
    color = overlay(own, tags.color) if tags.color else own
    return replace(color, chroma_location=color.chroma_location or tags.default_chroma_location)
