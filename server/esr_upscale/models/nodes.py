"""Weights for sources of known quality: sets of one network for some quantisers, and what lies between them.

A stream's source is as clean as it is, from what a camera gives to what a slow connection leaves of it, and the best
weights for one end are not those for the other. A weights file holds the blind set, which is for sources that nothing
is known of, and may hold nodes beside it: sets for the quantiser of H.264 that damages as much, 0 for none. They were
all trained on from the blind set, so that weights between two nodes, by straight lines, are weights as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float32]]

CLEAN, WORST = 0.0, 51.0
"""The quantisers of H.264: of pictures that were never coded, and the largest."""
STEP = 2.5
"""How far apart the quantisers are that a server holds weights for."""
MARK = "@"
"""Between a tensor's name and its node's quantiser, in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightNodes:
    """Sets of weights by quantiser."""

    quantizers: tuple[float, ...]
    """Ascending, CLEAN … WORST."""
    sets: tuple[Tensors, ...]

    def at(self, quantizer: float) -> Tensors:
        """Return the weights for a quantiser: of the line between its neighbours, and of the outermost node beyond."""
        places = np.array(self.quantizers)
        upper = int(np.clip(np.searchsorted(places, quantizer), 1, len(places) - 1))
        first, last = places[upper - 1 : upper + 1]
        share = np.float32(np.clip((quantizer - first) / (last - first), 0, 1))
        below, above = self.sets[upper - 1], self.sets[upper]
        return {name: tensor + share * (above[name] - tensor) for name, tensor in below.items()}

    def level(self, quantizer: float) -> float:
        """Return the nearest of the quantisers that weights are held for, STEP apart from the first node on."""
        first, last = self.quantizers[0], self.quantizers[-1]
        return float(np.clip(first + STEP * round((quantizer - first) / STEP), first, last))


def split_nodes(
    tensors: Tensors,
) -> tuple[dict[str, NDArray[np.float32]], dict[float, dict[str, NDArray[np.float32]]]]:
    """Take the tensors of a file apart: the blind set, and the nodes' sets by quantiser.

    Raises:
        ValueError: what follows the mark is no quantiser.
    """
    blind: dict[str, NDArray[np.float32]] = {}
    nodes: dict[float, dict[str, NDArray[np.float32]]] = {}
    for full_name, tensor in tensors.items():
        name, mark, quantizer = full_name.partition(MARK)
        of = nodes.setdefault(_quantizer(full_name, quantizer), {}) if mark else blind
        of[name] = tensor
    return blind, nodes


def join_nodes(blind: Tensors, nodes: WeightNodes | None) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a file."""
    joined = dict(blind)
    for quantizer, tensors in zip(nodes.quantizers, nodes.sets, strict=True) if nodes else ():
        joined |= {f"{name}{MARK}{quantizer:g}": tensor for name, tensor in tensors.items()}
    return joined


def _quantizer(name: str, value: str) -> float:
    try:
        quantizer = float(value)
    except ValueError:
        quantizer = -1.0
    if not CLEAN <= quantizer <= WORST:
        raise ValueError(f"tensor {name!r} is of no node: behind {MARK} stands a quantiser of 0 … {WORST:g}")
    return quantizer
