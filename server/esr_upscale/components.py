"""Between a frame's memory layout and the component planes that kernels read.

A kernel sees one component as (H, W) code values in 0 … 2ⁿ−1. Planar formats are viewed without a copy; semi-planar and
shifted ones (nv12, p010le) are taken apart; RGB goes through 16-bit full-range YCbCr (BT.601), fine enough that the way
there and back returns every 8-bit code value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.frame import ColorModel, Frame, PixelFormat

Planes = tuple[NDArray[Any], ...]

_RGB_DEPTH = 16
_KR, _KB = 0.299, 0.114
_TO_YCBCR = np.array(
    [
        [_KR, 1 - _KR - _KB, _KB],
        [-_KR / (2 - 2 * _KB), (_KR + _KB - 1) / (2 - 2 * _KB), 0.5],
        [0.5, (_KR + _KB - 1) / (2 - 2 * _KR), -_KB / (2 - 2 * _KR)],
    ]
)
_FROM_YCBCR = np.linalg.inv(_TO_YCBCR)
_CHROMA_ZERO = np.array([0, 1 << (_RGB_DEPTH - 1), 1 << (_RGB_DEPTH - 1)])
_RGB_SCALE = 257.0  # 65535 / 255


@dataclass(frozen=True, slots=True)
class Components:
    """Luma, and chroma if there is any, at `depth` bits, each (H, W) with its own subsampling."""

    depth: int
    luma: NDArray[Any]
    chroma: Planes


def working_depth(fmt: PixelFormat) -> int:
    """The depth at which kernels work on this format: its own, and 16 bit for RGB."""
    return _RGB_DEPTH if fmt.model is ColorModel.RGB else fmt.depth


def is_planar(fmt: PixelFormat) -> bool:
    """Whether the planes of a format are component planes as they are."""
    return fmt.model is not ColorModel.RGB and not fmt.lsb and all(len(p.components) == 1 for p in fmt.planes)


def unpack(frame: Frame) -> Components:
    """Take a frame apart into component planes."""
    planes = _SPLIT[frame.format.model](frame)
    return Components(working_depth(frame.format), planes[0], planes[1:])


def pack(fmt: PixelFormat, components: Components) -> Planes:
    """Lay component planes out as the planes of `fmt`; the inverse of `unpack`."""
    return _JOIN[fmt.model](fmt, (components.luma, *components.chroma))


def _split_planar(frame: Frame) -> Planes:
    fmt = frame.format
    return tuple(
        _shift_down(plane[:, k :: len(layout.components)], fmt.lsb)
        for plane, layout in zip(frame.planes, fmt.planes, strict=True)
        for k in range(len(layout.components))
    )


def _shift_down(plane: NDArray[Any], bits: int) -> NDArray[Any]:
    if bits:
        return plane >> bits
    return plane if plane.strides[1] == plane.itemsize else np.ascontiguousarray(plane)


def _join_planar(fmt: PixelFormat, components: Sequence[NDArray[Any]]) -> Planes:
    parts = iter(components)
    return tuple(_interleave([next(parts) for _ in layout.components], fmt.lsb) for layout in fmt.planes)


def _interleave(parts: list[NDArray[Any]], lsb: int) -> NDArray[Any]:
    if len(parts) == 1:
        return parts[0] << lsb if lsb else parts[0]
    plane = np.stack(parts, axis=-1).reshape(parts[0].shape[0], -1)
    return plane << lsb if lsb else plane


def _split_rgb(frame: Frame) -> Planes:
    order = list(frame.format.planes[0].components)
    pixels = frame.planes[0].reshape(frame.height, frame.width, 3)[:, :, np.argsort(order)]
    ycbcr = pixels @ (_TO_YCBCR * _RGB_SCALE).T + _CHROMA_ZERO
    return tuple(np.moveaxis(_round(ycbcr, _RGB_DEPTH), -1, 0).copy())


def _join_rgb(fmt: PixelFormat, components: Sequence[NDArray[Any]]) -> Planes:
    ycbcr = np.stack(components, axis=-1) - _CHROMA_ZERO
    rgb = _round(ycbcr @ (_FROM_YCBCR / _RGB_SCALE).T, fmt.depth).astype(fmt.dtype)
    pixels = rgb[:, :, list(fmt.planes[0].components)]
    return (np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1),)


def _round(values: NDArray[Any], depth: int) -> NDArray[Any]:
    return np.clip(np.floor(values + 0.5), 0, (1 << depth) - 1).astype(np.uint16)


_SPLIT: dict[ColorModel, Callable[[Frame], Planes]] = {
    ColorModel.GRAY: _split_planar,
    ColorModel.YCBCR: _split_planar,
    ColorModel.RGB: _split_rgb,
}
_JOIN: dict[ColorModel, Callable[[PixelFormat, Sequence[NDArray[Any]]], Planes]] = {
    ColorModel.GRAY: _join_planar,
    ColorModel.YCBCR: _join_planar,
    ColorModel.RGB: _join_rgb,
}
