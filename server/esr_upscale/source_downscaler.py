"""What made a source small: an estimate from its pictures, for weights that are for one downscaler.

Downscalers differ in how much fine detail they leave, and in how much that they cannot show they let through as
aliasing. So the energy of 8×8 blocks is spread differently over the frequencies of their DCT. A logistic function of
the logarithms of these energies gives the probability of each downscaler; what is chosen is the set of weights that
gains most on average over them. Most pictures are recognised, and where a picture is not, the sets for the downscalers
that it may be of cost little. `esr calibrate` fits the function.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from esr_upscale.models.nodes import DOWNSCALERS, REACH
from esr_upscale.source_quality import sample_blocks

BLOCK_PX = 8
ACTIVE = 0.5
"""The share of blocks that are looked at, those with the most detail: flat ones show noise and rounding."""
SMALLEST_PX = 32
"""Of smaller pictures nothing is said."""
WORTH_DB = 0.02
"""By how much another set must be expected to gain more before it takes over."""
LEAST_SCORE = -6.0
"""A test card or a black picture would weigh as much as dozens of photographs."""
REMEMBERED = 16
"""Pictures that the mean is of, about."""
FILE = "source_downscaler.json"
_FREQUENCIES = np.triu_indices(BLOCK_PX)


@dataclass(frozen=True, slots=True)
class Recognition:
    """The function for sources about as damaged: offsets + weights · (features − mean) / deviation."""

    names: tuple[str, ...]
    """What makes pictures small, in the order of `offsets`; more than there are sets for."""
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: NDArray[np.float64]
    """(names, features)."""
    offsets: NDArray[np.float64]
    gains_db: NDArray[np.float64]
    """(names, DOWNSCALERS): what each of the sets gains over the one for any downscaler, on average."""

    def scores(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logarithm of each name's probability in proportion to the largest, for `features_of` a picture.

        It is never below LEAST_SCORE: of pictures that are unlike photographs, the function is too sure.
        """
        scores: NDArray[np.float64] = self.offsets + self.weights @ ((features - self.mean) / self.deviation)
        return cast("NDArray[np.float64]", np.maximum(scores - scores.max(), LEAST_SCORE))

    def expected_gains_db(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the set for each of DOWNSCALERS is expected to gain."""
        chances = np.exp(scores - scores.max())
        gains: NDArray[np.float64] = chances / chances.sum() @ self.gains_db
        return gains

    def best(self, scores: NDArray[np.float64], current: str = "") -> str:
        """Return the downscaler whose set is expected to gain most; `current` unless that is worth a change."""
        expected = self.expected_gains_db(scores)
        gains = {"": 0.0} | dict(zip(DOWNSCALERS, map(float, expected), strict=True))
        best = max(gains, key=lambda name: gains[name])
        return best if gains[best] > gains[current] + WORTH_DB else current


@cache
def recognitions() -> Mapping[float, Recognition]:
    """Return the functions that are shipped, by the quantiser of the sources that they are for."""
    functions = {}
    document = json.loads(files("esr_upscale").joinpath(FILE).read_text(encoding="utf-8"))
    for quantizer, values in document["functions"].items():
        arrays = {name: np.array(values[name]) for name in ("mean", "deviation", "weights", "offsets", "gains_db")}
        functions[float(quantizer)] = Recognition(tuple(values["names"]), **arrays)
    return MappingProxyType(functions)


def features_of(luma: NDArray[Any], depth: int) -> NDArray[np.float64]:
    """Return the features of a picture's luma (H, W), code values of `depth` bits; a side has SMALLEST_PX or more.

    They are, for each frequency of a DCT of 8×8 blocks but the lowest, with the two directions taken together, the
    logarithm of the mean energy and the mean logarithm of the energy.
    """
    blocks = np.concatenate(
        [_cut(part.astype(np.float32) / np.float32(1 << depth >> 8)) for part in sample_blocks(luma)]
    )
    energies = np.square(_transform(blocks))
    detail = energies.sum((1, 2)) - energies[:, 0, 0]
    active = energies[detail >= np.quantile(detail, 1 - ACTIVE)]
    mean, typical = active.mean(0), np.exp(np.log(active + 0.5).mean(0))
    by_frequency = [((part + part.T) / 2)[_FREQUENCIES][1:] for part in (mean, typical)]
    features: NDArray[np.float64] = np.log(np.concatenate(by_frequency) + 0.1).astype(np.float64)
    return features


def _cut(part: NDArray[np.float32]) -> NDArray[np.float32]:
    # Twice, half a block apart: few pictures are large, and edges lie anywhere.
    grids = []
    for first in (0, BLOCK_PX // 2):
        rows, columns = ((length - first) // BLOCK_PX for length in part.shape)
        whole = part[first : first + rows * BLOCK_PX, first : first + columns * BLOCK_PX]
        grid = whole.reshape(rows, BLOCK_PX, columns, BLOCK_PX).swapaxes(1, 2)
        grids.append(grid.reshape(-1, BLOCK_PX, BLOCK_PX))
    return np.concatenate(grids)


def _transform(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    k = np.arange(BLOCK_PX)
    matrix = np.sqrt(2 / BLOCK_PX) * np.cos(np.pi * (k + 0.5) * k[:, None] / BLOCK_PX)
    matrix[0] /= np.sqrt(2)
    across = blocks.reshape(-1, BLOCK_PX) @ matrix.T.astype(np.float32)
    down = across.reshape(blocks.shape).swapaxes(1, 2).reshape(-1, BLOCK_PX) @ matrix.T.astype(np.float32)
    transformed: NDArray[np.float32] = down.reshape(blocks.shape)  # (u, v) for (v, u): directions go together anyway
    return transformed


class DownscalerTracker:
    """Follows what made one stream's source small. Not thread-safe: frames come in order."""

    def __init__(self) -> None:
        self._function: Recognition | None = None
        self._scores = np.zeros(1)
        self._pictures = 0
        self._downscaler = ""

    def take(self, luma: NDArray[Any], depth: int, quantizer: float) -> str:
        """Look at a picture of a source that is damaged so; return the downscaler whose set gains most.

        Empty: the set for any downscaler does, or nothing can be said. `luma` is as in `features_of`. The mean over the
        last pictures counts: a stream was made small by one downscaler, and what they show differs.
        """
        function = None
        if min(luma.shape) >= SMALLEST_PX:
            functions = recognitions()
            nearest = min(functions, key=lambda node: abs(node - quantizer))
            function = functions[nearest] if abs(nearest - quantizer) <= REACH else None
        if function is not self._function:
            self._function, self._pictures, self._downscaler = function, 0, ""
        if function is None:
            return ""
        self._pictures = min(self._pictures + 1, REMEMBERED)
        self._scores = self._scores + (function.scores(features_of(luma, depth)) - self._scores) / self._pictures
        self._downscaler = function.best(self._scores, self._downscaler)
        return self._downscaler
