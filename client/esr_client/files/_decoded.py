"""Pictures that are decoded here: what their headers say, and the formats that the server takes."""

from __future__ import annotations

from fractions import Fraction
from math import cos, radians, sin
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.format import VideoFormat

from esr_client import _av_frame
from esr_client._errors import InputError
from esr_client._frame import Frame
from esr_media.formats import PIXEL_FORMATS

# Formats that decoders give and the server does not know, and those that hold the same samples.
_SAME_LAYOUT = {"yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
UNPACKED = {"gbrp": "rgb24", "rgb0": "rgb24", "bgr0": "rgb24", "rgb48be": "rgb48le", "gray16be": "gray16le"}
"""RGB in planes or with a spare byte, 16 bits in the order of PNG, and what they become."""


def known_name(name: str) -> str:
    """Return the name under which the server takes pictures of a decoder's format, if it does."""
    return UNPACKED.get(name) or _SAME_LAYOUT.get(name) or name


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Return how a picture is to be turned: nine integers as FFmpeg has them, or None."""
    try:
        # PyAV 18's types call it a dict of motion vectors. It holds every kind, by its type.
        side_data: Any = frame.side_data
    except ValueError:
        # PyAV 18 has no name for some kinds, such as EXIF, and then lists none. A mirror in them is not known here.
        if not frame.rotation:
            return None
        # The matrix of a rotation by PyAV's degrees, with 16 bits after the point, in the last column 30.
        cosine, sine = (round(f(radians(-frame.rotation)) * (1 << 16)) for f in (cos, sin))
        return cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 30
    matrix = side_data.get(SideData.DISPLAYMATRIX)
    return None if matrix is None else tuple(int(value) for value in np.frombuffer(bytes(matrix), np.int32))


def check_pixel_format(name: str) -> None:
    """Refuse pictures of a format that neither the server knows nor can be unpacked here.

    Raises:
        InputError: the message says how to convert them.
    """
    if name in PIXEL_FORMATS or name in _SAME_LAYOUT or name in UNPACKED:
        return
    has_alpha = any(component.is_alpha for component in VideoFormat(name).components)
    what = "transparency" if has_alpha else "a depth or layout"
    raise InputError(
        f"the video has {name} pictures, with {what} that is not supported; convert it first: "
        "ffmpeg -i IN -pix_fmt yuv420p10le -c:v libx265 -c:a copy OUT.mkv"
    )


def to_known(frame: av.VideoFrame, time_base: Fraction) -> Frame:
    """Return a decoded picture in a format that the server knows.

    Raises:
        InputError: as `check_pixel_format`.
    """
    name = frame.format.name
    if name in UNPACKED:
        frame = frame.reformat(format=UNPACKED[name], threads=1)
    else:
        check_pixel_format(name)
    return _av_frame.to_frame(frame, name=_SAME_LAYOUT.get(name), time_base=time_base)
