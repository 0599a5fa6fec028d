"""Video files made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def write_video(path: Path, lumas: Sequence[NDArray[Any]], pixel_format: str = "gray", codec: str = "ffv1") -> Path:
    """A video of these luma planes (H, W), in a container by the name; 10 bits as uint16. The codec is lossless."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.pix_fmt = pixel_format
        stream.height, stream.width = lumas[0].shape
        for index, luma in enumerate(lumas):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(luma), pixel_format)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
