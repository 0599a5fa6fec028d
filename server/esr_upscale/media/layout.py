"""The same picture in another memory layout: no sample changes its value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from esr_media.formats import PixelFormat
from esr_upscale.components import pack, unpack
from esr_upscale.frame import Frame


def relayout(frame: Frame, fmt: PixelFormat) -> Frame:
    """Return `frame` as `fmt`, which has the same depth and subsampling, or chroma where one of both is gray.

    Chroma is neutral where there was none. Planes that are laid out alike are shared, not copied.
    """
    if fmt is frame.format:
        return frame
    parts = unpack(frame)
    if len(fmt.planes) > 1 and not parts.chroma:
        neutral = np.full(fmt.plane_shape(1, frame.width, frame.height), 1 << (fmt.depth - 1), fmt.dtype)
        parts = replace(parts, chroma=(neutral, neutral))
    return replace(frame, format=fmt, planes=pack(fmt, parts))
