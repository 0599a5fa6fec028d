"""Clips from still pictures: windows that rest, pan by whole pixels or by parts of one, and zoom a little.

P and B frames of a codec, and what they leave of a picture, come about only where something moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_workbench.degradation.resampling import KERNELS, resample, resampling_matrix

_REST, _WHOLE = 0.2, 0.45
"""Shares of clips that rest, and that move by whole pixels; the others move by parts of one."""
_FASTEST_PX = 2.5
_ZOOM = 0.004
"""The most that a frame is larger or smaller than the one before."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How a window moves over a picture: pixels of HR per frame, down and to the right, and a factor per frame."""

    velocity: tuple[float, float]
    zoom: float
    start: tuple[float, float]

    def places(self, frame: int, axis: int, size: int) -> NDArray[np.floating[Any]]:
        """Return where the window's samples lie on an axis of the picture."""
        middle = (size - 1) / 2
        offset = self.start[axis] + self.velocity[axis] * frame
        return (np.arange(size) - middle) * (1 + self.zoom * frame) + middle + offset


def draw_motion(shape: tuple[int, int], size: int, frames: int, rng: np.random.Generator) -> Motion:
    """Draw a motion that keeps a window of `size`×`size` on a picture of `shape` for `frames` frames."""
    slack = np.array(shape) - size
    kind = rng.random()
    if kind < _REST:
        velocity, zoom = np.zeros(2), 0.0
    elif kind < _WHOLE:
        velocity, zoom = rng.integers(-3, 4, 2).astype(float), 0.0
    else:
        velocity = rng.uniform(-_FASTEST_PX, _FASTEST_PX, 2)
        zoom = float(rng.uniform(-_ZOOM, _ZOOM)) if rng.random() < 0.5 else 0.0
    fastest = slack / max(1, frames - 1)
    velocity = np.clip(velocity, -fastest, fastest)
    way = velocity * (frames - 1)
    start = rng.uniform(np.maximum(0, -way), slack - np.maximum(0, way) + 1e-9)
    if zoom == 0:
        start = np.floor(start)
    return Motion((float(velocity[0]), float(velocity[1])), zoom, (float(start[0]), float(start[1])))


def moving(picture: NDArray[Any], motion: Motion, size: int, frames: int) -> NDArray[np.uint8]:
    """Return the clip (frames, size, size) that a window shows, resampled by Lanczos with 4 lobes."""
    clip = np.empty((frames, size, size), np.uint8)
    for frame in range(frames):
        rows, columns = (
            resampling_matrix(picture.shape[axis], motion.places(frame, axis, size), KERNELS["lanczos4"])
            for axis in (0, 1)
        )
        clip[frame] = np.clip(np.rint(resample(picture, rows, columns)), 0, 255)
    return clip
