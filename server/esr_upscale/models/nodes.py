"""Weights for sources of known quality: sets of one network for some quantisers.

A stream's source is as clean as it is, from what a camera gives to what a slow connection leaves of it, and the best
weights for one end are not those for the other. A weights file holds the blind set, which is for sources that nothing
is known of, and may hold nodes too: sets for the CRF of x264 that damages as much, 0 for none. Weights on
the straight line between two sets are worse than either, so a source gets those of one node, or the blind ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float32]]

CLEAN, WORST = 0.0, 51.0
"""The CRF of pictures that were never coded, and the largest."""
REACH = 8.5
"""How far from its quantiser a node serves at most, so that 0 and 17 meet. Weights for clean sources were better up to
there on six real clips; on tiles made smaller only up to 5."""
MARK = "@"
"""Between a tensor's name and its node's quantiser, in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightNodes:
    """Sets of weights by quantiser."""

    quantizers: tuple[float, ...]
    """Ascending, CLEAN … WORST."""
    sets: tuple[Tensors, ...]

    def node(self, quantizer: float) -> float | None:
        """Return the quantiser of the node for a source: within REACH of it, or beyond the last; None: none is."""
        nearest = min(self.quantizers, key=lambda node: abs(node - quantizer))
        return nearest if abs(nearest - min(quantizer, self.quantizers[-1])) <= REACH else None

    def at(self, node: float) -> Tensors:
        """Return the weights of a node."""
        return self.sets[self.quantizers.index(node)]


def served_by(node: float, quantizers: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest quantiser of sources that a node serves, one of `quantizers`, ascending."""
    number = quantizers.index(node)
    least = max((quantizers[number - 1] + node) / 2, node - REACH) if number else max(node - REACH, CLEAN)
    if number == len(quantizers) - 1:
        return least, WORST
    return least, min((node + quantizers[number + 1]) / 2, node + REACH)


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
