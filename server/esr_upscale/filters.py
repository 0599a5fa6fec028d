"""Cubic taps for a scale and a siting phase: mathematics only, no pixels.

The filter is Keys' cubic convolution with a = −0.5 (R. Keys, "Cubic convolution interpolation for digital image
processing", IEEE TASSP 29(6), 1981): the one that reproduces a quadratic exactly. For an integer scale s, output sample
`s·i + p` reads the same four weights for every i, so an axis is fully described by s phases of four taps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

KEYS_A = -0.5
TAPS = 4
RADIUS = TAPS // 2
"""Any phase of any siting reads input samples −2 … +2 around its own."""


class Siting(Enum):
    """Where an axis' samples sit relative to luma. The value is the offset of a sample from the start of its cell.

    A cell is one sample of the axis itself, its centre at 0.5. Scaling luma is centre-aligned, so an offset of `o`
    means that output sample j reads input position (j + o)/s − o.
    """

    CENTRED = 0.5
    COSITED = 0.25  # on the first luma sample of a 2:1 subsampled cell: left, top
    COSITED_LAST = 0.75  # on the second luma sample of the cell: bottom


@dataclass(frozen=True, slots=True)
class Phase:
    """The taps of one output phase of one axis.

    `first` is the input index of `weights[0]` relative to the input sample of the same cell; `weights` sum to one.
    """

    first: int
    weights: tuple[float, float, float, float]


def keys_cubic(x: float) -> float:
    """Keys' kernel with a = −0.5 at distance `x`, in input samples. Zero from a distance of 2 on."""
    x = abs(x)
    if x < 1:
        return ((KEYS_A + 2) * x - (KEYS_A + 3)) * x * x + 1
    if x < 2:
        return ((KEYS_A * x - 5 * KEYS_A) * x + 8 * KEYS_A) * x - 4 * KEYS_A
    return 0.0


def source_position(output_index: int, scale: int, siting: Siting) -> float:
    """The input coordinate that output sample `output_index` reads, in input samples (0 = centre of the first)."""
    return (output_index + siting.value) / scale - siting.value


def polyphase(scale: int, siting: Siting = Siting.CENTRED) -> tuple[Phase, ...]:
    """Return the `scale` phases of one axis, for output samples s·i + 0 … s·i + s−1."""
    phases = []
    for p in range(scale):
        position = source_position(p, scale, siting)
        first = math.floor(position) - 1
        w = [keys_cubic(position - (first + k)) for k in range(TAPS)]
        phases.append(Phase(first, (w[0], w[1], w[2], w[3])))
    return tuple(phases)


def windows(scale: int, siting: Siting = Siting.CENTRED) -> list[list[float]]:
    """Return the `scale` phases of one axis as weights of the input samples −RADIUS … RADIUS around their own."""
    rows = []
    for phase in polyphase(scale, siting):
        before = phase.first + RADIUS
        rows.append([0.0] * before + list(phase.weights) + [0.0] * (2 * RADIUS + 1 - TAPS - before))
    return rows
