"""What a frame costs a model on this machine: measured when it is loaded and when no stream runs, and followed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from esr_upscale.frame import Frame, pixel_format
from esr_upscale.upscaler import Upscaler

_SIZES = ((320, 180), (640, 360))
_RUNS = 5
_FORMAT = "yuv420p"
TYPICAL_PIXELS = 960 * 540
"""Of the frames by which costs are compared."""
_WINDOW_FRAMES = 64
_NO_TIME_S = 1e-9
_SAME = 0.1  # measurements that differ by less agree


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

    def scaled(self, factor: float) -> Cost:
        return Cost(self.frame_s * factor, self.pixel_s * factor)


def fit(small: tuple[int, float], large: tuple[int, float]) -> Cost:
    """The cost of which two frames, each (pixels, seconds), are examples; neither part is ever negative."""
    (pixels, seconds), (more_pixels, more_seconds) = small, large
    pixel_s = max(0.0, more_seconds - seconds) / (more_pixels - pixels)
    return Cost(max(0.0, seconds - pixel_s * pixels), pixel_s)


class MeasuredCost:
    """The cost of one model. Safe to use from any thread.

    What others take of the processors makes a frame look dearer and never cheaper. So a cheaper measurement holds at
    once, and a dearer one when the next one confirms it. Frames of streams can only make it cheaper: on a machine that
    has become slower they are late, and `capacity.SlowdownFactor` follows that.
    """

    def __init__(self, cost: Cost) -> None:
        self._lock = threading.Lock()
        self._current = self._last = cost
        self._frames = 0
        self._least = math.inf

    @property
    def current(self) -> Cost:
        return self._current

    def measured(self, cost: Cost) -> bool:
        """Take in a measurement made in quiet; return whether it agrees with the one before."""
        with self._lock:
            before, self._last = self._last, cost
            self._current = min(before, cost, key=lambda each: each.of(TYPICAL_PIXELS))
            self._frames, self._least = 0, math.inf
            return abs(cost.of(TYPICAL_PIXELS) / before.of(TYPICAL_PIXELS) - 1) < _SAME

    def upscaled(self, frame: Frame, seconds: float) -> None:
        """Take in what a frame took that had the processors to itself."""
        if frame.format.name != _FORMAT:  # others have more or less chroma
            return
        with self._lock:
            self._frames += 1
            self._least = min(self._least, seconds / max(_NO_TIME_S, self._current.of(frame.width * frame.height)))
            if self._frames < _WINDOW_FRAMES:
                return
            if self._least < 1 - _SAME:
                self._current = self._current.scaled(self._least)
            self._frames, self._least = 0, math.inf


def measure(upscaler: Upscaler, clock: Callable[[], float] = time.perf_counter) -> Cost:
    """Time a few frames of two sizes, taking turns, and take the least of each.

    The least, because what others take of the processors meanwhile is no cost of the model.
    """
    frames = [_frame(*size) for size in _SIZES]
    seconds: list[list[float]] = [[] for _ in frames]
    for _ in range(_RUNS):
        for frame, times_s in zip(frames, seconds, strict=True):
            started = clock()
            upscaler(frame)
            times_s.append(clock() - started)
    small, large = ((frame.width * frame.height, min(times_s)) for frame, times_s in zip(frames, seconds, strict=True))
    return fit(small, large)


def _frame(width: int, height: int) -> Frame:
    fmt = pixel_format(_FORMAT)
    rng = np.random.default_rng(1)
    shapes = (fmt.plane_shape(i, width, height) for i in range(len(fmt.planes)))
    return Frame(fmt, width, height, tuple(rng.integers(16, 236, shape, np.uint8) for shape in shapes))
