"""Pictures that are decoded here: what their headers say, and the formats that the server takes."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData

from esr_client import _av_frame
from esr_client._errors import InputError
from esr_client._frame import PIXEL_FORMATS, Frame

# Formats that decoders give and the server does not know, and those that hold the same samples.
_SAME_LAYOUT = {"yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
UNPACKED = {"gbrp": "rgb24", "rgb0": "rgb24", "bgr0": "rgb24"}
"""RGB in planes or with a spare byte, and what it becomes."""


def known_name(name: str) -> str:
    """Return the name under which the server takes pictures of a decoder's format, if it does."""
    return UNPACKED.get(name) or _SAME_LAYOUT.get(name) or name


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    found = next((data for data in _side_data(frame) if data.type is SideData.DISPLAYMATRIX), None)
    return None if found is None else tuple(int(value) for value in np.frombuffer(bytes(found), np.int32))


def _side_data(frame: av.VideoFrame) -> Iterable[Any]:
    # PyAV's types call it a dict of motion vectors. It holds every kind, and iterating gives the values.
    side_data: Any = frame.side_data
    return list(side_data)


def check_taken(name: str) -> None:
    """Refuse pictures of a format that neither the server knows nor can be unpacked here.

    Raises:
        InputError: the message says how to convert them.
    """
    if name in PIXEL_FORMATS or name in _SAME_LAYOUT or name in UNPACKED:
        return
    what = "transparency" if "a" in name.partition("p")[0] else "a depth or layout"
    raise InputError(
        f"the video has {name} pictures, of {what} that is not taken; convert it first: "
        "ffmpeg -i IN -pix_fmt yuv420p10le -c:v libx265 -c:a copy OUT.mkv"
    )


def to_known(frame: av.VideoFrame, time_base: Fraction) -> Frame:
    """A decoded picture in a format that the server knows."""
    name = frame.format.name
    if name in UNPACKED:
        frame = frame.reformat(format=UNPACKED[name], threads=1)
    else:
        check_taken(name)
    return _av_frame.to_frame(frame, name=_SAME_LAYOUT.get(name), time_base=time_base)
