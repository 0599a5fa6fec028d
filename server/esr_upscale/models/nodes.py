"""Weights for sources of known quality: sets of one network for some quantisers and downscalers.

A stream's source is as clean as it is, from what a camera gives to what a slow connection leaves of it, and the best
weights for one end are not those for the other. A weights file holds the blind set, which is for sources that nothing
is known of, and may hold nodes too: sets for the CRF of x264 that damages as much, 0 for none. A node may have sets
for the downscalers that made video small, because what a network has to restore depends on what they left. Weights on
the straight line between two sets are worse than either, so a source gets one set of one node, or the blind one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float32]]

CLEAN, WORST = 0.0, 51.0
"""The CRF of pictures that were never coded, and the largest."""
REACH = 8.5
"""How far from its quantiser a node serves at most, so that 0 and 17 meet. Weights for clean sources were better up to
there on six real clips; on tiles made smaller only up to 5."""
MARK, SEPARATOR = "@", "/"
"""Between a tensor's name and its node's quantiser, and between that and the set's downscaler, in a file."""
DOWNSCALERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"area": ("area",), "sharp": ("bicubic", "lanczos3", "spline36")}
)
"""The kernels of each downscaler, by their names in KERNELS of `esr_workbench.degradation.resampling`.
Averages of areas alias; kernels with negative lobes are sharp, and too much alike for a picture to tell them apart."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A kind of source: how much coding has damaged it, and what made it small."""

    quantizer: float
    """The CRF of x264 that damages as much, CLEAN … WORST."""
    downscaler: str = ""
    """One of DOWNSCALERS; empty: any."""

    def __str__(self) -> str:
        return f"{self.quantizer:g}{SEPARATOR}{self.downscaler}" if self.downscaler else f"{self.quantizer:g}"


@dataclass(frozen=True, slots=True, eq=False)
class WeightNodes:
    """Sets of weights by the kind of source that they are for."""

    sets: Mapping[Source, Tensors]
    """Each node has a set for any downscaler."""

    @property
    def quantizers(self) -> tuple[float, ...]:
        """Return those of the nodes, ascending."""
        return tuple(sorted({source.quantizer for source in self.sets}))

    def node(self, source: Source) -> Source | None:
        """Return what the best set for a source is for; None: no node is within REACH of it, but for the blind set.

        The last node is for all sources beyond it too.
        """
        quantizers = self.quantizers
        nearest = min(quantizers, key=lambda node: abs(node - source.quantizer))
        if abs(nearest - min(source.quantizer, quantizers[-1])) > REACH:
            return None
        of_downscaler = Source(nearest, source.downscaler)
        return of_downscaler if of_downscaler in self.sets else Source(nearest)

    def tells_apart(self, source: Source) -> bool:
        """Return whether the set for a source depends on its downscaler."""
        node = self.node(Source(source.quantizer))
        return node is not None and any(Source(node.quantizer, name) in self.sets for name in DOWNSCALERS)

    def at(self, node: Source) -> Tensors:
        """Return the set that is for `node`, which is one of `sets`."""
        return self.sets[node]


def served_by(node: float, quantizers: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest quantiser of sources that a node serves, one of `quantizers`, ascending."""
    number = quantizers.index(node)
    least = max((quantizers[number - 1] + node) / 2, node - REACH) if number else max(node - REACH, CLEAN)
    if number == len(quantizers) - 1:
        return least, WORST
    return least, min((node + quantizers[number + 1]) / 2, node + REACH)


def split_nodes(
    tensors: Tensors,
) -> tuple[dict[str, NDArray[np.float32]], dict[Source, dict[str, NDArray[np.float32]]]]:
    """Take the tensors of a file apart: the blind set, and the nodes' sets.

    Raises:
        ValueError: what follows the mark is no source, or a node has no set for any downscaler.
    """
    blind: dict[str, NDArray[np.float32]] = {}
    nodes: dict[Source, dict[str, NDArray[np.float32]]] = {}
    for full_name, tensor in tensors.items():
        name, mark, source = full_name.partition(MARK)
        try:
            tensors_of_set = nodes.setdefault(parse_source(source), {}) if mark else blind
        except ValueError as error:
            raise ValueError(f"tensor {full_name!r} belongs to no node: after {MARK} {error}") from None
        tensors_of_set[name] = tensor
    for node in nodes:
        if Source(node.quantizer) not in nodes:
            raise ValueError(f"node {node.quantizer:g} lacks a set for any downscaler")
    return blind, nodes


def join_nodes(blind: Tensors, nodes: WeightNodes | None) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a file."""
    all_tensors = dict(blind)
    for source, tensors in sorted(nodes.sets.items(), key=lambda item: item[0]) if nodes else ():
        all_tensors |= {f"{name}{MARK}{source}": tensor for name, tensor in tensors.items()}
    return all_tensors


def parse_source(text: str) -> Source:
    """Return the source that is written as `17`, or with a downscaler as `17/area`.

    Raises:
        ValueError: it is not; the message says what stands there.
    """
    number, separator, downscaler = text.partition(SEPARATOR)
    try:
        quantizer = float(number)
    except ValueError:
        quantizer = -1.0
    if not CLEAN <= quantizer <= WORST:
        raise ValueError(f"must come a quantiser of 0 … {WORST:g}, not {number!r}")
    if separator and downscaler not in DOWNSCALERS:
        raise ValueError(f"must come a quantiser{SEPARATOR}downscaler of {', '.join(DOWNSCALERS)}, not {text!r}")
    return Source(quantizer, downscaler)
