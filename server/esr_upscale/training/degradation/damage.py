"""How much coding and noise have damaged a clip, on the scale of H.264's quantiser; and which clips a node is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from esr_upscale.models.nodes import CLEAN, WORST
from esr_upscale.training.degradation.degrade import Degradation

SPREAD = 7.0
"""How far from a node's quantiser clips are that it is trained on too, ever less."""


def damage_of(
    large: NDArray[np.uint8], small: NDArray[np.uint8], way: Degradation, scale: int, rng: np.random.Generator
) -> float:
    """Return the quantiser that damages as much as a `way` has damaged the frame `small`, made of `large`.

    The mean squared error is measured from what the same downscaler makes of the clean picture.
    """
    clean = replace(way, noise=0.0, before=None, coding=None).apply(large[None], scale, rng)[0]
    return quantizer_of(float(np.square(clean.astype(np.float32) - small).mean()))


def quantizer_of(squared_error: float) -> float:
    """Return the quantiser of H.264 whose uniform quantisation leaves a mean squared error, in squared code values.

    Steps Δ leave Δ²/12; they double with every 6 of the quantiser, and are about 1 at 4 (ITU-T H.264, 8.5).
    """
    if squared_error <= 0:
        return CLEAN
    return float(np.clip(4 + 3 * np.log2(12 * squared_error), CLEAN, WORST))


def shares_of(node: float, nodes: Sequence[float], quantizers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much clips of these quantisers count for a node: all at it and beyond the last, none SPREAD away.

    A node for clean sources is for clips that were never damaged only: the least that encoders do is far from clean.
    """
    if node == CLEAN:
        clean: NDArray[np.float64] = (quantizers == CLEAN).astype(np.float64)
        return clean
    distance = np.abs(quantizers - node)
    beyond = quantizers > node if node == nodes[-1] else np.zeros(quantizers.shape, bool)
    shares: NDArray[np.float64] = np.where(beyond, 1.0, np.clip(1 - distance / SPREAD, 0, 1))
    return shares
