"""How the planes that a fused kernel reads and writes lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.plane_kernel import PlaneAllocator, own_memory

UNBOUNDED_TASKS = 1 << 20
"""More tasks than a plane has strips: each strip is one."""
RGB_COMPONENTS = 3
"""Samples of a pixel of packed RGB."""


def sample_type(depth: int) -> type[np.uint8] | type[np.uint16]:
    """Return the sample type of a depth: uint8 up to 8 bits, uint16 up to 16."""
    return np.uint8 if depth <= 8 else np.uint16


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of the result are padded: a kernel writes whole segments, and as many of them in each tile of a row."""

    scale: int
    depth: int
    segment_px: int
    """LR pixels of a segment."""
    tile_segments: int
    """Segments of a tile, at most; 0 where a row is one tile."""
    components: int = 1
    """Samples of a pixel, side by side: 3 of packed RGB."""

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Rows and padded samples per row of the result of a picture of this size."""
        segments = -(-width // self.segment_px)
        if self.tile_segments:
            tiles = -(-segments // self.tile_segments)
            segments = tiles * -(-segments // tiles)
        return self.scale * height, self.components * self.scale * segments * self.segment_px

    def allocate(self, height: int, width: int, memory: PlaneAllocator = own_memory) -> NDArray[Any]:
        """Return memory for the result of a plane of this size, from `memory` if that gives any.

        `crop` takes the picture out of it.
        """
        shape, dtype = self.shape(height, width), np.dtype(sample_type(self.depth))
        buffer = memory(shape, dtype)
        return np.empty(shape, dtype) if buffer is None else buffer

    def rows(self, result: NDArray[Any]) -> NDArray[Any]:
        """`result` as a kernel writes it: (H, s, padded width), the s rows that each LR row becomes together."""
        return result.reshape(-1, self.scale, result.shape[1])

    def crop(self, result: NDArray[Any], width: int) -> NDArray[Any]:
        """Return the picture in `result`, for a plane `width` pixels wide."""
        return result[:, : self.components * self.scale * width]
