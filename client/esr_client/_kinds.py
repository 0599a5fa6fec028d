"""Kinds of frames: what callers hand in, and get back in kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from esr_client._errors import FrameError
from esr_client._frame import Frame

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    AnyFrame = Frame | av.VideoFrame | NDArray[np.uint8]

FrameT = TypeVar("FrameT", bound="AnyFrame")


class Kind(NamedTuple):
    """How frames of one kind become a `Frame`, and a `Frame` one of them."""

    to_frame: Callable[[Any], Frame]
    from_frame: Callable[[Frame], Any]


def _same(item: Any) -> Any:  # noqa: ANN401 -- whatever it is
    return item


def _from_array(array: NDArray[np.uint8]) -> Frame:
    height, width = array.shape[:2]
    samples = width * (array.size // max(1, width * height))
    name = "gray" if array.ndim == 2 else "rgb24"
    return Frame((array.reshape(height, samples),), width, height, name)


def _to_array(frame: Frame) -> NDArray[np.uint8]:
    shape = (frame.height, frame.width) if frame.pixel_format == "gray" else (frame.height, frame.width, 3)
    # Splitting the last axis is a view, whatever the stride of the rows.
    return frame.planes[0].reshape(shape)


AS_IT_IS = Kind(_same, _same)
_ARRAY = Kind(_from_array, _to_array)


def _is_picture(array: NDArray[Any]) -> bool:
    return array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3))


def kind_of(item: object) -> Kind:
    """The kind of a frame.

    Raises:
        FrameError: it is none of those that can be sent.
    """
    if isinstance(item, Frame):
        return AS_IT_IS
    if isinstance(item, np.ndarray):
        if _is_picture(item):
            return _ARRAY
        raise FrameError(f"arrays are (H, W) or (H, W, 3) of uint8, not {item.shape} of {item.dtype}")
    # Whoever has an av frame has imported av: nobody else needs to pay for it.
    if "av" in sys.modules:
        from esr_client import _av_frame

        if _av_frame.is_frame(item):
            return Kind(_av_frame.to_frame, _av_frame.from_frame)
    raise FrameError(f"frames are av.VideoFrame, numpy.ndarray or esr_client.Frame, not {type(item).__name__}")
