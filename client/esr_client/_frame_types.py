"""Types of frames that callers hand in, and get back: av frames, arrays and `Frame`."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from esr_client._errors import FrameError
from esr_client._frame import Frame

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    AnyFrame = Frame | av.VideoFrame | NDArray[np.uint8]

FrameT = TypeVar("FrameT", bound="AnyFrame")

ChannelOrder = Literal["rgb", "bgr"]
"""The order of the channels in arrays: rgb as in Pillow and imageio, bgr as in OpenCV."""

_ARRAY_FORMATS: dict[tuple[int, np.dtype[Any]], dict[str, str]] = {
    (2, np.dtype(np.uint8)): {"rgb": "gray", "bgr": "gray"},
    (2, np.dtype("<u2")): {"rgb": "gray16le", "bgr": "gray16le"},
    (3, np.dtype(np.uint8)): {"rgb": "rgb24", "bgr": "bgr24"},
    (3, np.dtype("<u2")): {"rgb": "rgb48le", "bgr": "bgr48le"},
}
"""Pixel formats of arrays, by dimensions, dtype and order of channels."""


class FrameAdapter(Protocol):
    """The conversion from one type of frames to `Frame` and back."""

    def to_frame(self, item: Any, /) -> Frame: ...  # noqa: ANN401 -- each adapter has its type

    def from_frame(self, frame: Frame, /) -> Any: ...  # noqa: ANN401


@dataclass(frozen=True, slots=True)
class _FrameIdentity:
    copy: bool = False

    def to_frame(self, item: Any, /) -> Any:  # noqa: ANN401 -- packets too
        return item

    def from_frame(self, frame: Frame, /) -> Frame:
        return replace(frame, planes=tuple(plane.copy() for plane in frame.planes)) if self.copy else frame


IDENTITY: FrameAdapter = _FrameIdentity()


@dataclass(frozen=True, slots=True)
class _ArrayAdapter:
    channel_order: ChannelOrder
    copy: bool

    def to_frame(self, array: NDArray[Any], /) -> Frame:
        formats = _ARRAY_FORMATS.get((array.ndim, array.dtype))
        if formats is None or (array.ndim == 3 and array.shape[2] != 3):
            raise FrameError(_array_hint(array))
        height, width = array.shape[:2]
        samples = 3 if array.ndim == 3 else 1
        return Frame((array.reshape(height, width * samples),), width, height, formats[self.channel_order])

    def from_frame(self, frame: Frame, /) -> NDArray[Any]:
        plane = frame.planes[0].copy() if self.copy else frame.planes[0]
        # Splitting the last axis is a view, whatever the stride of the rows.
        samples = plane.shape[1] // frame.width
        shape = (frame.height, frame.width) if samples == 1 else (frame.height, frame.width, samples)
        return plane.reshape(shape)


class FrameAdapters:
    """The types of frames that one call takes, with its order of channels and its wish for copies."""

    def __init__(self, channel_order: ChannelOrder = "rgb", *, copy: bool = False) -> None:
        """Choose the order of channels; `copy` makes results that may be written to.

        Raises:
            ValueError: there is no such order of channels.
        """
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr' (OpenCV), not {channel_order!r}")
        self._frames = _FrameIdentity(copy)
        self._arrays = _ArrayAdapter(channel_order, copy)

    def adapter_for(self, item: object) -> FrameAdapter:
        """Return the adapter for the type of `item`.

        Raises:
            FrameError: it is no frame that can be sent.
        """
        if isinstance(item, Frame):
            return self._frames
        if isinstance(item, np.ndarray):
            return self._arrays
        # A caller with an av frame has imported av; the others need not pay for it.
        if "av" in sys.modules:
            from esr_client import _av_frame

            if _av_frame.is_frame(item):
                return _av_frame
        text = f"frames are av.VideoFrame, numpy.ndarray or esr_client.Frame, not {type(item).__name__}"
        if isinstance(item, (str, bytes, os.PathLike)):
            text += "; for a picture file use esr_client.files.pictures.upscale_picture(client, source, out)"
        raise FrameError(text)


def _array_hint(array: NDArray[Any]) -> str:
    """Return an error message for an array: what is wrong, and what would be right."""
    text = f"arrays are (H, W) gray or (H, W, 3) colour of uint8 or uint16, not {array.shape} of {array.dtype}"
    if array.ndim == 3 and array.shape[2] == 4:
        return f"{text}; leave out alpha with array[:, :, :3]"
    if array.ndim == 3 and array.shape[0] == 3:
        return f"{text}; move the channels to the end with array.transpose(1, 2, 0)"
    if array.ndim == 3 and array.shape[2] == 1:
        return f"{text}; leave out the last axis with array[:, :, 0]"
    if array.dtype.kind in "iu" and array.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        return f"{text}; change the type with array.astype('uint8'), or 'uint16' for 16 bits"
    if array.dtype.kind == "f":
        return f"{text}; values from 0 to 1 become code values by (array * 255).round().astype('uint8')"
    return text


def check_iterable(items: object, call: str) -> None:
    """Refuse a single frame, or a name, where an iterable of frames belongs.

    Raises:
        TypeError: the message has the call that was probably meant.
    """
    hint = None
    if isinstance(items, np.ndarray) and items.ndim in (2, 3):
        hint = f"for one picture use upscale_image(array, model=...), for several {call}([array, ...])"
    elif isinstance(items, Frame):
        hint = f"for one picture use upscale_image(frame, model=...), for several {call}([frame, ...])"
    elif isinstance(items, (str, bytes, os.PathLike)):
        hint = "for a file use esr_client.files.upscale_file(client, source, out)"
    elif not isinstance(items, (Iterable, AsyncIterable)):
        hint = f"for one picture use upscale_image(frame, model=...), for several {call}([frame, ...])"
    if hint is not None:
        raise TypeError(f"{call} takes an iterable of frames, not one {type(items).__name__}: {hint}")
