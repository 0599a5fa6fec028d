"""Planes of FFmpeg's frames as numpy arrays, without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from esr_media.formats import PixelFormat


def plane_views(frame: VideoFrame, fmt: PixelFormat) -> tuple[NDArray[Any], ...]:
    """View the planes of `frame`, whose samples lie as `fmt` says; each view keeps the frame alive.

    The arrays are (rows, samples per row) of `fmt.dtype`; rows may be padded, or lie bottom-up.
    """
    shapes = (fmt.plane_shape(index, frame.width, frame.height) for index in range(len(fmt.planes)))
    return tuple(
        np.asarray(_Memory(frame, plane, shape, fmt.dtype)) for plane, shape in zip(frame.planes, shapes, strict=True)
    )


def owner_of(planes: Sequence[NDArray[Any]], width: int, height: int) -> VideoFrame | None:
    """Return the FFmpeg frame of this size that all `planes`, as `plane_views` made them, view; None without one."""
    owners = [plane.base.frame if isinstance(plane.base, _Memory) else None for plane in planes]
    first = owners[0]
    if first is None or any(owner is not first for owner in owners):
        return None
    return first if (first.width, first.height) == (width, height) else None


class _Memory:
    """Memory of an FFmpeg frame as numpy sees it. An array made from it has it as its base and so keeps it alive."""

    __slots__ = ("__array_interface__", "frame")

    def __init__(self, frame: VideoFrame, plane: VideoPlane, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.frame = frame
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (plane.buffer_ptr, False),
            # Negative where the picture is stored bottom-up; the pointer is to its top row all the same.
            "strides": (plane.line_size, dtype.itemsize),
        }
