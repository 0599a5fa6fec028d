"""How much coding and noise have damaged a clip, on the scale of x264's CRF; and which clips a node is for.

The same error disturbs a smooth picture more than a detailed one, where a network has more to restore. What decides
between two sets of weights is the error in proportion to the fine detail, and at one CRF that hardly depends on what a
picture shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from esr_upscale.models.nodes import CLEAN, WORST, served_by
from esr_workbench.degradation.degrade import Degradation

MEASURE = 2
"""Raised when the damage of the same clips comes out otherwise: folders of clips keep it under this number."""
MARGIN = 4.0
"""How far past the sources that it serves a node is trained too, ever less: so far may an estimate be off."""
DOUBLING = 4.7
"""The rise of x264's CRF as the squared error doubles in proportion to the squared detail; where both are alike it is
WORST. A fit to 4554 windows of CRF 16 to 36."""
LEAST_DETAIL = 10.0
"""Added to the squared detail, in squared code values: where there is none, rounding is no damage."""
LEAST_DAMAGE = 1.0
"""The quantiser of the least damage; CLEAN is for none at all."""
SEAM_PX = 2
"""How far a window's neighbour in a mosaic reaches into its detail and, by the codec's filters, into its error."""


def damage_of(
    large: NDArray[np.uint8], small: NDArray[np.uint8], degradation: Degradation, scale: int, rng: np.random.Generator
) -> float:
    """Return the CRF of x264 that damages as much as a degradation has damaged the frame `small`, made of `large`."""
    maps = damage_maps(large, small, degradation, scale, rng)
    return quantizer_of(*(float(part.mean()) for part in maps))


def damage_of_window(
    maps: tuple[NDArray[np.float32], NDArray[np.float32]], row: int, column: int, size_px: int
) -> float:
    """Return the quantiser of one square window of a mosaic, from the `damage_maps` of the whole."""
    down, right = (slice(place * size_px + SEAM_PX, (place + 1) * size_px - SEAM_PX) for place in (row, column))
    return quantizer_of(*(float(part[down, right].mean()) for part in maps))


def damage_maps(
    large: NDArray[np.uint8], small: NDArray[np.uint8], degradation: Degradation, scale: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the squared error and the squared fine detail at each pixel of `small` (H/s, W/s).

    The error is measured from what the same downscaler makes of the clean picture; its detail is the difference of a
    pixel from the four around it, times four.
    """
    downscaling = replace(degradation, noise=0.0, before=None, coding=None)
    clean = downscaling.apply(large[None], scale, rng)[0].astype(np.float32)
    padded = np.pad(clean, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.square(clean - small), np.square(4 * clean - around)


def quantizer_of(error: float, detail: float) -> float:
    """Return the CRF of x264 that leaves a mean squared `error` in pictures of a mean squared `detail`.

    It is never more than the quantiser of H.264 whose steps Δ leave such an error, Δ²/12; they are about 1 at 4 and
    double with every 6 (ITU-T H.264, 8.5). Smooth pictures have little detail, but a small error is none to take away.
    """
    if error <= 0:
        return CLEAN
    in_proportion = WORST + DOUBLING * np.log2(error / (detail + LEAST_DETAIL))
    return float(np.clip(min(in_proportion, 4 + 3 * np.log2(12 * error)), LEAST_DAMAGE, WORST))


def shares_of(node: float, nodes: Sequence[float], quantizers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much clips of these quantisers count for a node: all that it serves, and none MARGIN past them.

    A node for clean sources is trained on clips that were never damaged only, and no other node is.
    """
    if node == CLEAN:
        clean: NDArray[np.float64] = (quantizers == CLEAN).astype(np.float64)
        return clean
    least, most = served_by(node, nodes)
    outside = np.maximum(least - quantizers, quantizers - most).clip(0)
    shares: NDArray[np.float64] = np.where(quantizers == CLEAN, 0.0, np.clip(1 - outside / MARGIN, 0, 1))
    return shares
