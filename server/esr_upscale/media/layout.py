"""The same picture in another memory layout: no sample changes its value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from esr_upscale.components import Components, pack, unpack
from esr_upscale.frame import Frame, PixelFormat


def relayout(frame: Frame, fmt: PixelFormat) -> Frame:
    """`frame` as `fmt`, which has the same depth and subsampling, or chroma where one of both is gray.

    Chroma is neutral where there was none. Planes that are laid out alike are shared, not copied.
    """
    if fmt is frame.format:
        return frame
    parts = unpack(frame)
    if len(fmt.planes) > 1 and not parts.chroma:
        parts = _with_neutral_chroma(parts, frame, fmt)
    return replace(frame, format=fmt, planes=pack(fmt, parts))


def _with_neutral_chroma(gray: Components, frame: Frame, fmt: PixelFormat) -> Components:
    shape = fmt.plane_shape(1, frame.width, frame.height)
    neutral = np.full(shape, 1 << (fmt.depth - 1), fmt.dtype)
    return replace(gray, chroma=(neutral, neutral))
