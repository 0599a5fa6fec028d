"""What a frame costs a model on this machine: measured once, when the model is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from esr_upscale.frame import Frame, pixel_format
from esr_upscale.upscaler import Upscaler

_SIZES = ((320, 180), (640, 360))
_RUNS = 5
_FORMAT = "yuv420p"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a frame, luma and chroma, on all the threads that one frame may have: affine in its pixels."""

    frame_s: float
    """Of any frame, however small."""
    pixel_s: float
    """Of each pixel of its input."""

    def of(self, pixels: int) -> float:
        """Seconds of a frame whose input has so many pixels."""
        return self.frame_s + self.pixel_s * pixels


def fit(small: tuple[int, float], large: tuple[int, float]) -> Cost:
    """The cost of which two frames, each (pixels, seconds), are examples; neither part is ever negative."""
    (pixels, seconds), (more_pixels, more_seconds) = small, large
    pixel_s = max(0.0, more_seconds - seconds) / (more_pixels - pixels)
    return Cost(max(0.0, seconds - pixel_s * pixels), pixel_s)


def measure(upscaler: Upscaler, clock: Callable[[], float] = time.perf_counter) -> Cost:
    """Time a few frames of two sizes, taking turns, and take the least of each.

    The least, because what others take of the processors meanwhile is no cost of the model.
    """
    frames = [_frame(*size) for size in _SIZES]
    seconds: list[list[float]] = [[] for _ in frames]
    for _ in range(_RUNS):
        for frame, taken in zip(frames, seconds, strict=True):
            started = clock()
            upscaler(frame)
            taken.append(clock() - started)
    small, large = ((frame.width * frame.height, min(taken)) for frame, taken in zip(frames, seconds, strict=True))
    return fit(small, large)


def _frame(width: int, height: int) -> Frame:
    fmt = pixel_format(_FORMAT)
    rng = np.random.default_rng(1)
    shapes = (fmt.plane_shape(i, width, height) for i in range(len(fmt.planes)))
    return Frame(fmt, width, height, tuple(rng.integers(16, 236, shape, np.uint8) for shape in shapes))
