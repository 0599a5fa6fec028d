"""Between a frame's memory layout and the component planes that kernels read.

A kernel sees one component as (H, W) code values in 0 … 2ⁿ−1. Planar formats are viewed without a copy; semi-planar and
shifted ones (nv12, p010le) are taken apart; RGB goes through 16-bit full-range YCbCr (BT.601), fine enough that the way
there and back returns every 8-bit code value, and 16-bit ones within 2. Fused kernels have a shorter way for RGB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_media.formats import ColorModel, PixelFormat
from esr_upscale.bt601 import KB, KG, KR, LUMA_DEPTH
from esr_upscale.frame import Frame
from esr_upscale.plane_kernel import PlaneAllocator, own_memory

Planes = tuple[NDArray[Any], ...]

_CHROMA_ZERO = 1 << (LUMA_DEPTH - 1)
_CB_SCALE, _CR_SCALE = 2 * (1 - KB), 2 * (1 - KR)
"""B − Y is Cb times the first, R − Y is Cr times the second."""
_BLOCK_SAMPLES = 1 << 16
"""Of a component, that are worked on before the next: what is made of them stays in the cache."""


@dataclass(frozen=True, slots=True)
class Components:
    """Luma, and chroma if there is any, at `depth` bits, each (H, W) with its own subsampling."""

    depth: int
    luma: NDArray[Any]
    chroma: Planes


def working_depth(fmt: PixelFormat) -> int:
    """Return the depth at which kernels work on this format: its own, and 16 bit for RGB."""
    return LUMA_DEPTH if fmt.model is ColorModel.RGB else fmt.depth


def is_planar(fmt: PixelFormat) -> bool:
    """Return whether the planes of a format are component planes as they are."""
    return fmt.model is not ColorModel.RGB and not fmt.lsb and all(len(p.components) == 1 for p in fmt.planes)


def unpack(frame: Frame) -> Components:
    """Take a frame apart into component planes."""
    fmt = frame.format
    if fmt.model is ColorModel.RGB:
        planes = _split_rgb(frame)
        return Components(working_depth(fmt), planes[0], planes[1:])
    parts: list[NDArray[Any]] = []
    for plane, layout in zip(frame.planes, fmt.planes, strict=True):
        for k in range(len(layout.components)):
            part = plane[:, k :: len(layout.components)]
            if fmt.lsb:
                part = part >> fmt.lsb
            elif part.strides[1] != part.itemsize:
                part = part.copy(order="C")  # not ascontiguousarray: that leaves the stride of a single column
            parts.append(part)
    return Components(working_depth(fmt), parts[0], tuple(parts[1:]))


def pack(fmt: PixelFormat, components: Components, memory: PlaneAllocator = own_memory) -> Planes:
    """Lay component planes out as the planes of `fmt`; the inverse of `unpack`. `memory` is asked for that of RGB."""
    if fmt.model is ColorModel.RGB:
        return (_join_rgb(fmt, (components.luma, *components.chroma), memory),)
    unused = iter((components.luma, *components.chroma))
    planes: list[NDArray[Any]] = []
    for layout in fmt.planes:
        parts = [next(unused) for _ in layout.components]
        plane = parts[0] if len(parts) == 1 else np.stack(parts, axis=-1).reshape(parts[0].shape[0], -1)
        planes.append(plane << fmt.lsb if fmt.lsb else plane)
    return tuple(planes)


def _split_rgb(frame: Frame) -> Planes:
    fmt, size = frame.format, (frame.height, frame.width)
    pixels = frame.planes[0].reshape(*size, 3)
    planes = tuple(np.empty(size, np.uint16) for _ in range(3))
    for rows in _row_blocks(*size):
        r, g, b = (pixels[rows, :, place].astype(np.float32) for place in np.argsort(fmt.planes[0].components))
        luma = KR * r + KG * g + KB * b
        gain = ((1 << LUMA_DEPTH) - 1) / ((1 << fmt.depth) - 1)
        _store(luma * gain, LUMA_DEPTH, planes[0][rows])
        for plane, part, scale in ((planes[1], b, _CB_SCALE), (planes[2], r, _CR_SCALE)):
            part -= luma
            part *= gain / scale
            part += _CHROMA_ZERO
            _store(part, LUMA_DEPTH, plane[rows])
    return planes


def _join_rgb(fmt: PixelFormat, components: Sequence[NDArray[Any]], memory: PlaneAllocator) -> NDArray[Any]:
    size = height, width = components[0].shape
    shape = (height, 3 * width)
    buffer = memory(shape, fmt.dtype)
    plane = np.empty(shape, fmt.dtype) if buffer is None else buffer
    pixels = plane.reshape(*size, 3)
    gain = np.float32(((1 << fmt.depth) - 1) / ((1 << LUMA_DEPTH) - 1))
    for rows in _row_blocks(*size):
        luma, b, r = (component[rows].astype(np.float32) for component in components)
        luma *= gain
        for part, scale in ((b, _CB_SCALE), (r, _CR_SCALE)):
            part -= _CHROMA_ZERO
            part *= gain * scale
        g = luma - KR / KG * r
        g -= KB / KG * b
        r += luma
        b += luma
        for part, place in zip((r, g, b), np.argsort(fmt.planes[0].components), strict=True):
            _store(part, fmt.depth, pixels[rows, :, place])
    return plane


def _row_blocks(height: int, width: int) -> Iterator[slice]:
    rows = max(1, _BLOCK_SAMPLES // width)
    return (slice(start, start + rows) for start in range(0, height, rows))


def _store(values: NDArray[np.float32], depth: int, out: NDArray[Any]) -> None:
    """Write float code values, rounded and clipped, to `out`. Changes `values`."""
    values += np.float32(0.5)
    np.clip(values, 0, (1 << depth) - 1, out=values)
    np.copyto(out, values, casting="unsafe")
