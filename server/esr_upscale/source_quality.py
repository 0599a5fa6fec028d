"""How much coding has damaged a source: an estimate from its key frames.

A decoder knows how many bits a key frame took, and what picture came of them. Fine detail costs bits, and coding takes
it away: of two pictures with as much detail left, the one that took fewer bits is damaged more. A quadratic function of
the bits per pixel and of five measures of the picture says by how much, for every codec on the scale of x264's CRF:
the error in proportion to the fine detail that there was. `esr calibrate` fits it. Key frames do not depend on what
moves, and where they come nothing flickers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

LUMA_SHARE = 0.89
"""Of a key frame's bits; 0.80 to 0.97 on seven clips and five encoders."""
BLOCKS, BLOCK_PX = 4, 96
"""The picture is measured on BLOCKS × BLOCKS blocks that lie evenly over it, of so many pixels on a side at most."""
SMALLEST_PX = 32
"""Of smaller pictures nothing is said."""
_EASE = 0.05
FILE = "source_quality.json"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The function: codec's offset + linear·z + Σ quadratic·z·z, where z are the measures, clipped and normalised."""

    codecs: Mapping[str, float]
    low: tuple[float, ...]
    high: tuple[float, ...]
    linear: tuple[float, ...]
    quadratic: tuple[float, ...]
    """Of each pair of measures, the first with itself, the first with the second, …"""
    least: float
    most: float
    """What the function gives is clipped to this."""

    def quantizer(self, codec: str, measures: NDArray[np.float64]) -> float | None:
        """Return the quantiser for `measures_of` a key frame; None for a codec that was not calibrated."""
        if codec not in self.codecs:
            return None
        value = self.codecs[codec] + float(self.terms(measures) @ np.array([*self.linear, *self.quadratic]))
        return min(max(value, self.least), self.most)

    def terms(self, measures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is weighted: (…, measures) → (…, measures and pairs of them)."""
        low, high = np.array(self.low), np.array(self.high)
        z = (2 * np.clip(measures, low, high) - low - high) / (high - low)
        first, second = np.triu_indices(z.shape[-1])
        return np.concatenate([z, z[..., first] * z[..., second]], -1)


@cache
def calibration() -> Calibration:
    """Return the function that is shipped."""
    values = json.loads(files("esr_upscale").joinpath(FILE).read_text(encoding="utf-8"))["function"]
    return Calibration(
        codecs=values["codecs"],
        low=tuple(values["low"]),
        high=tuple(values["high"]),
        linear=tuple(values["linear"]),
        quadratic=tuple(values["quadratic"]),
        least=values["least"],
        most=values["most"],
    )


def estimate(luma: NDArray[Any], depth: int, codec: str, bits: float) -> float | None:
    """Return the CRF of x264 that would have damaged a key frame as much, by the function that is shipped.

    Its `luma` (H, W), code values of `depth` bits, took `bits`. None for a picture that is too small and for a codec
    that was not calibrated.
    """
    return calibration().quantizer(codec, measures_of(luma, depth, bits)) if min(luma.shape) >= SMALLEST_PX else None


def measures_of(luma: NDArray[Any], depth: int, bits: float) -> NDArray[np.float64]:
    """Return the six measures of a key frame: its luma (H, W), code values of `depth` bits, took `bits`.

    They are log₂ of the bits per pixel; the logarithms of the mean detail in three bands, diagonal at one pixel and at
    two, and gradients; and the shares of 2×2 pixels without diagonal detail, and with hardly any. A side has
    SMALLEST_PX or more.
    """
    blocks = [block.astype(np.float32) / (1 << depth >> 8) for block in sample_blocks(luma)]
    parts = np.array([_detail(block) for block in blocks])
    fine, coarse, gradient, none, hardly = parts.mean(0)
    bits_per_pixel = math.log2(bits / luma.size + 1e-3)
    return np.array([bits_per_pixel, *np.log(np.array([fine, coarse, gradient]) + _EASE), none, hardly])


def sample_blocks(luma: NDArray[Any]) -> list[NDArray[Any]]:
    """Return BLOCKS × BLOCKS parts of a picture that lie evenly over it, of BLOCK_PX pixels on a side at most."""
    size = [min(BLOCK_PX, length // BLOCKS // 4 * 4 or length) for length in luma.shape]
    firsts = [
        np.linspace(0, length - side, BLOCKS if length >= BLOCKS * 4 else 1).astype(int)
        for length, side in zip(luma.shape, size, strict=True)
    ]
    return [luma[y : y + size[0], x : x + size[1]] for y in firsts[0] for x in firsts[1]]


def _detail(x: NDArray[Any]) -> tuple[float, float, float, float, float]:
    mean, diagonal = _haar(x)
    fine = np.abs(diagonal)
    gradient = (np.abs(np.diff(x, axis=0)).mean() + np.abs(np.diff(x, axis=1)).mean()) / 2
    return (
        float(fine.mean()),
        float(np.abs(_haar(mean)[1]).mean()),
        float(gradient),
        float((fine < 0.5).mean()),
        float((fine < 1.5).mean()),
    )


def _haar(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    # Means of 2×2 pixels, and their diagonal differences.
    height, width = (length // 2 * 2 for length in x.shape)
    a, b, c, d = (x[y:height:2, first:width:2] for y in (0, 1) for first in (0, 1))
    return (a + b + c + d) / 4, a - b - c + d
