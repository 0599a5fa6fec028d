"""Packed RGB through two compiled functions, wherever they were compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.layout import RGB_COMPONENTS
from esr_upscale.plane_kernel import PlaneAllocator, PlaneFunction, own_memory


@dataclass(frozen=True, slots=True)
class PackedRgb:
    """The way of RGB through a model: `luma`, the model's kernel, `color`. Safe to use from several threads at once.

    `pixels` are (H, 3·W) code values, the three components of each pixel side by side. `first_weight` is what the first
    of them adds to luma.
    """

    luma_function: PlaneFunction
    color_function: PlaneFunction

    def luma(self, pixels: NDArray[Any], first_weight: float, concurrency: int = 1) -> NDArray[np.uint16]:
        """Return the luma of `pixels`, (H, W) at 16 bits."""
        components = _by_pixel(pixels)
        return self.luma_function.run((components,), (first_weight,), components.shape[:2], own_memory, concurrency)

    def color(
        self,
        pixels: NDArray[Any],
        upscaled: NDArray[np.uint16],
        first_weight: float,
        memory: PlaneAllocator = own_memory,
        concurrency: int = 1,
    ) -> NDArray[Any]:
        """Return packed RGB, (s·H, 3·s·W) of the dtype of `pixels`: `upscaled` luma with the colour of `pixels`."""
        components = _by_pixel(pixels)
        return self.color_function.run(
            (components, upscaled), (first_weight,), components.shape[:2], memory, concurrency
        )


def _by_pixel(pixels: NDArray[Any]) -> NDArray[Any]:
    rows = pixels if pixels.strides[1] == pixels.itemsize else np.ascontiguousarray(pixels)
    return rows.reshape(len(rows), -1, RGB_COMPONENTS)
