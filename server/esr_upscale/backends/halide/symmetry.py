"""Filters that are each other's mirror images, at the cost of one.

Phases dx and s − 1 − dx of an upscaled pixel lie as far to the left of its middle as to the right. Where the filter of
the second is that of the first, mirrored, the sum and the difference of every two pixels that lie opposite each other
are filtered part_bias, by the even and by the odd part of one filter:

    phase dx = even + odd        phase s − 1 − dx = even − odd

The same downwards. So the K² taps of one filter make four phases: all of ×2, a quarter of ×4. Odd scales are mirrored
downwards only, as the phases in their middle are their own mirror images, and would be made again with every orbit.
`esr train` makes networks of one layer with that symmetry; whichever has it profits, others are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.halide.convolution import Convolution, Filters, Tile
from esr_upscale.backends.halide.pipeline import C, Constant, Job, P, X, Y, spread

Array = NDArray[np.float64]
EVEN, ODD, WHOLE = 1, -1, 0
"""Parts of a filter along an axis: by what mirroring makes of their sign, or not taken apart."""


@dataclass(frozen=True, slots=True)
class Folding:
    """Along which axes phases are mirrored."""

    mirrors: tuple[tuple[bool, bool], ...]
    """The members of an orbit, (downwards, across): the first phase as it is, and its mirror images."""
    parts: tuple[tuple[int, int], ...]
    """Of a filter, (downwards, across)."""


BOTH = Folding(
    ((False, False), (False, True), (True, False), (True, True)), ((EVEN, EVEN), (EVEN, ODD), (ODD, EVEN), (ODD, ODD))
)
DOWN = Folding(((False, False), (True, False)), ((EVEN, WHOLE), (ODD, WHOLE)))


def folding_of(scale: int) -> Folding:
    """Return how the phases of a scale mirror each other."""
    return DOWN if scale % 2 else BOTH


def orbits_of(scale: int) -> list[tuple[int, ...]]:
    """Return the s² phases as orbits, each in the order of the `mirrors`; one in the middle comes up twice."""
    half, mirrors = (scale + 1) // 2, folding_of(scale).mirrors
    firsts = product(range(half), range(scale if scale % 2 else half))
    return [
        tuple(_opposite(dy, down, scale) * scale + _opposite(dx, across, scale) for down, across in mirrors)
        for dy, dx in firsts
    ]


def _opposite(place: int, mirrored: bool, scale: int) -> int:
    return scale - 1 - place if mirrored else place


def are_mirrored(filters: Filters) -> bool:
    """Return whether the filters of the phases of each orbit are exactly each other's mirror images.

    That a phase in the middle is so to itself is not asked for: it need not be, to be filtered in parts.
    """
    weights, scale = filters.weights, filters.scale
    same = [
        np.array_equal(weights[phase], weights[orbit[0]][..., :: -1 if down else 1, :: -1 if across else 1])
        for orbit in orbits_of(scale)
        for phase, (down, across) in dict(
            zip(reversed(orbit), reversed(folding_of(scale).mirrors), strict=True)
        ).items()
    ]
    return all(same) and bool((filters.bias == filters.bias[0]).all())


Pair = tuple[int, int]
"""EVEN or ODD, and how far from the middle its two pixels lie; 0 is the pixel in the middle alone. WHOLE: one pixel."""


def fold(source: hl.Func, kernel: int) -> hl.Func:
    """Return the sums and differences downwards of the pixels of `source` (x, y) under a filter of K×K: (x, y, c)."""
    lines = hl.Func("lines")
    pairs = [pair for parity in (EVEN, ODD) for pair in _pairs(parity, kernel // 2)]
    lines[X, Y, C] = spread([_fold_pair(lambda i: source[X, Y + i], pair) for pair in pairs], C)
    return lines


def _pairs(parity: int, radius: int) -> list[Pair]:
    first = {EVEN: 0, ODD: 1, WHOLE: -radius}[parity]
    return [(parity, distance) for distance in range(first, radius + 1)]


def _fold_pair(at: Callable[[int], hl.Expr], pair: Pair) -> hl.Expr:
    parity, distance = pair
    if parity == WHOLE or not distance:
        return at(distance)
    return at(distance) + at(-distance) if parity == EVEN else at(distance) - at(-distance)


@dataclass(frozen=True, slots=True)
class MirroredConvolution:
    """Filters at work, each of their parts a convolution of its own over folded pixels."""

    folding: Folding
    phases: tuple[int, ...]
    """Which phase of an upscaled pixel place p has: orbit after orbit, of which one may have a phase again."""
    parts: tuple[Convolution, ...]

    def responses(self) -> list[hl.Expr]:
        """Return each row's response at pixel (x, y) for place p."""
        mirrors = self.folding.mirrors
        rows = zip(*(part.responses(P // len(mirrors)) for part in self.parts), strict=True)
        return [spread([_combine(row, *mirror) for mirror in mirrors], P % len(mirrors)) for row in rows]


def convolve_mirrored(lines: hl.Func, filters: Filters, block: int, job: Job) -> MirroredConvolution:
    """Apply `filters`, which are mirrored, to folded `lines`, in tiles of `block` rows."""
    folding, orbits = folding_of(filters.scale), orbits_of(filters.scale)
    phases = [orbit[0] for orbit in orbits]
    weights, bias = filters.weights[phases, :, 0].astype(np.float64), filters.bias[phases]
    parts, radius = [], weights.shape[-1] // 2
    for number, (down, across) in enumerate(folding.parts):
        part_weights = _halve(weights, down, across).astype(np.float32)
        part_bias = np.zeros_like(bias) if number else bias
        first = 0 if down == EVEN else radius + 1
        parts.append(
            _convolve_part(partial(_line, lines, first), part_weights, part_bias, (across, radius), block, job)
        )
    return MirroredConvolution(folding, tuple(phase for orbit in orbits for phase in orbit), tuple(parts))


def _halve(weights: Array, down: int, across: int) -> Array:
    # Weights w and w′ of a pair make (w + w′)/2 for its sum and (w − w′)/2 for its difference: (orbits, rows, i, j).
    radius = weights.shape[-1] // 2
    for axis, parity in ((-2, down), (-1, across)):
        if parity != WHOLE:
            weights = (weights + parity * np.flip(weights, axis)) / 2
    i, j = ({EVEN: radius, ODD: radius + 1, WHOLE: 0}[parity] for parity in (down, across))
    return weights[..., i:, j:]


def _line(lines: hl.Func, first: int, i: hl.Expr, dx: int) -> hl.Expr:
    return lines[X + dx, Y, first + i]


def _convolve_part(
    line: Callable[[hl.Expr, int], hl.Expr],
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    across: tuple[int, int],
    block: int,
    job: Job,
) -> Convolution:
    orbits, rows, count, width = weights.shape
    blocks = -(-rows // block)
    margins = [(0, 0), (0, blocks * block - rows)]
    padded = np.pad(weights, [*margins, (0, 0), (0, 0)]).reshape(orbits * blocks, block, count, width)
    numbers = Constant.of(padded, job), Constant.of(np.pad(bias, margins).reshape(orbits * blocks, block), job)
    taps, offsets = (each.source for each in numbers)
    conv, i = hl.Func("conv"), hl.RDom([(0, count)])
    conv[X, Y, C, P] = offsets[C, P]
    # One line after the other, the pairs of each in one go: this many sums are kept in registers all the while.
    total = conv[X, Y, C, P]
    for j, pair in enumerate(_pairs(*across)):
        total = total + taps[j, i.x, C, P] * _fold_pair(partial(line, i.x), pair)
    conv[X, Y, C, P] = total
    return Convolution((Tile(conv, (i.x,), block, blocks=blocks),), rows, numbers)


def _combine(parts: Sequence[hl.Expr], down: bool, across: bool) -> hl.Expr:
    # In two steps, of which the first is common to two members of an orbit.
    if len(parts) == len(BOTH.parts):
        parts = [_add_signed(parts[i], parts[i + 1], across) for i in (0, 2)]
    even, odd = parts
    return _add_signed(even, odd, down)


def _add_signed(even: hl.Expr, odd: hl.Expr, mirrored: bool) -> hl.Expr:
    return even - odd if mirrored else even + odd
