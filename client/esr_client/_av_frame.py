"""av.VideoFrame to Frame and back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from numpy.typing import NDArray

from esr_client._frame import Frame, pixel_format
from esr_media.av_planes import plane_views
from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.ratio import to_fraction

_DEFAULT_TIME_BASE = Fraction(1, 90000)


def is_frame(item: object) -> bool:
    """Return whether it is an av.VideoFrame."""
    return isinstance(item, av.VideoFrame)


def planes_of(frame: av.VideoFrame, name: str | None = None) -> tuple[NDArray[Any], ...]:
    """View the planes of an av frame without a copy; they keep it alive.

    `name` is a pixel format of the same layout, to take it as.

    Raises:
        FrameError: its pixel format is not supported.
    """
    return plane_views(frame, pixel_format(name or frame.format.name))


def color_of(tagged: av.VideoFrame | av.VideoCodecContext) -> Color:
    """Return the colour tags of an av frame or codec context. PyAV 18 and codec contexts do not say the siting."""
    return Color(
        range=ColorRange(tagged.color_range),
        primaries=int(tagged.color_primaries),
        transfer=int(tagged.color_trc),
        matrix=int(tagged.colorspace),
        chroma_location=ChromaLocation(getattr(tagged, "chroma_location", 0)),
    )


def to_frame(frame: av.VideoFrame, *, name: str | None = None, time_base: Fraction | None = None) -> Frame:
    """View an av frame without a copy. `name` is a pixel format of the same layout, to take it as.

    Raises:
        FrameError: its pixel format is not supported.
    """
    return Frame(
        planes=planes_of(frame, name),
        width=frame.width,
        height=frame.height,
        pixel_format=name or frame.format.name,
        pts=frame.pts,
        duration=max(frame.duration, 0) or None,
        time_base=to_fraction(frame.time_base) or time_base or _DEFAULT_TIME_BASE,
        color=color_of(frame),
        rotation=frame.rotation,
        interlaced=frame.interlaced_frame,
        corrupt=frame.is_corrupt,
    )


def from_frame(frame: Frame) -> av.VideoFrame:
    """Copy the planes into a new av frame. PyAV cannot set a frame's aspect ratio or rotation."""
    av_frame = av.VideoFrame(frame.width, frame.height, frame.pixel_format)
    for view, plane in zip(planes_of(av_frame), frame.planes, strict=True):
        view[:] = plane
    av_frame.pts = frame.pts
    av_frame.time_base = frame.time_base
    if frame.duration is not None:
        av_frame.duration = frame.duration
    av_frame.color_range = frame.color.range
    av_frame.color_primaries = frame.color.primaries
    av_frame.color_trc = frame.color.transfer
    av_frame.colorspace = frame.color.matrix
    # PyAV 18 cannot set it.
    if hasattr(av_frame, "chroma_location"):
        av_frame.chroma_location = frame.color.chroma_location
    return av_frame
