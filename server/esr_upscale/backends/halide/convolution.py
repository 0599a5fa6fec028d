"""Convolutions as register tiles: a block of filters on a run of pixels, every weight loaded once for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.halide.pipeline import C, Constant, Job, Loops, P, SampleFormat, Vectors, X, Y

SPARE = 4
"""Registers that a tile leaves for what is multiplied."""
RUN = 2
"""Vectors of pixels that each filter of a tile is applied to."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of `rows` outputs for each of several phases, or of a layer, which has one phase."""

    weights: NDArray[np.float32]
    """(phases, rows, inputs, K downwards, K across)."""
    bias: NDArray[np.float32]
    """(phases, rows)."""
    above: int
    """How far above an output pixel the first tap lies."""
    left: int

    @property
    def scale(self) -> int:
        return math.isqrt(len(self.weights))


@dataclass(frozen=True, slots=True)
class Tile:
    """A block of filters at work."""

    conv: hl.Func
    """(x, y, c, p): what row c makes of a pixel for phase p."""
    taps: tuple[hl.RVar, ...]
    """The loops over what is summed, from the innermost."""
    rows: int
    unrolled: hl.RVar | None = None
    """The one of `taps` that is unrolled."""
    blocks: int = 1
    """How many blocks of rows `conv` has, one after the other: it has that many phases for each phase."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """Filters at work, block by block."""

    tiles: tuple[Tile, ...]
    rows: int
    constants: tuple[Constant, ...]

    def responses(self, phase: hl.Expr) -> list[hl.Expr]:
        """Return each row's response at pixel (x, y) for a phase."""
        responses = [
            tile.conv[X, Y, i, phase * tile.blocks + block]
            for tile in self.tiles
            for block in range(tile.blocks)
            for i in range(tile.rows)
        ]
        return responses[: self.rows]  # what fills the last block is none


def convolve(
    source: Callable[[hl.Expr, hl.Expr, hl.Expr], hl.Expr], filters: Filters, block: int, job: Job
) -> Convolution:
    """Apply `filters` to `source`(x, y, channel), in tiles of `block` rows."""
    _, rows, inputs, down, across = filters.weights.shape
    tiles, constants = [], []
    for part in blocks_of(rows, block):
        numbers = [Constant.of(array[:, part], job) for array in (filters.weights, filters.bias)]
        weights, bias = (each.source for each in numbers)
        taps = hl.RDom([(0, across), (0, down), (0, inputs)])
        conv = hl.Func("conv")
        conv[X, Y, C, P] = bias[C, P]
        at = source(X + taps.x - filters.left, Y + taps.y - filters.above, taps.z)
        conv[X, Y, C, P] += weights[taps.x, taps.y, taps.z, C, P] * at
        tiles.append(Tile(conv, (taps.x, taps.y, taps.z), part.stop - part.start, taps.x))
        constants += numbers
    return Convolution(tuple(tiles), rows, tuple(constants))


def blocks_of(rows: int, block: int) -> list[slice]:
    """Return the rows, `block` at a time."""
    return [slice(first, min(first + block, rows)) for first in range(0, rows, block)]


def most_rows(vectors: Vectors) -> int:
    """Return how many filters a register tile can have."""
    return (vectors.registers - SPARE) // RUN


def run_of(rows: int) -> int:
    """Return how many vectors of pixels a tile of `rows` takes: few sums leave half of the multipliers idle."""
    return RUN if rows > 2 else 2 * RUN


def phase_group(rows: int, phases: int, vectors: Vectors) -> int:
    """Return how many phases' rows a tile can hold at once."""
    return max(n for n in range(1, phases + 1) if phases % n == 0 and (n == 1 or n * rows <= most_rows(vectors)))


def split_evenly(rows: int, most: int) -> int:
    """Return the size of blocks, `most` at most, that leaves the last one the least behind the others."""
    return -(-rows // -(-rows // most))


def schedule_tiles(consumer: hl.Func, at: hl.Var, convolution: Convolution, vectors: Vectors) -> None:
    """Compute a convolution in registers wherever `consumer` has got to `at`, a run of pixels."""
    for tile in convolution.tiles:
        conv, update = tile.conv, tile.conv.update()
        conv.compute_at(consumer, at).bound_extent(C, tile.rows)
        for stage, taps in ((conv, ()), (update, tile.taps)):
            stage.reorder(*((C, X, *taps, P, Y) if tile.blocks > 1 else (C, P, X, *taps, Y)))
            stage.unroll(C).vectorize(X, vectors.lanes).unroll(X)
            if tile.blocks == 1:
                stage.unroll(P)
        if tile.unrolled is not None:
            update.unroll(tile.unrolled)


def phases_of(
    responses: Sequence[hl.Expr], choose: Callable[[Sequence[hl.Expr]], hl.Expr], samples: SampleFormat
) -> hl.Func:
    """Code values (x, y, p): what the head makes of a phase's responses, which has half added to it already."""
    phases = hl.Func("phases")
    phases[X, Y, P] = samples.truncated(choose(responses))
    return phases


def schedule_phases(
    phases: hl.Func,
    loops: Loops,
    convolutions: Sequence[Convolution],
    group: int,
    count: int,
    vectors: Vectors,
    run_vectors: int = RUN,
) -> None:
    """Make the `count` phases of a segment, `group` of them at a time for `run_vectors` vectors of pixels."""
    outer, inner, run, pixel = hl.Var("outer"), hl.Var("inner"), hl.Var("run"), hl.Var("pixel")
    phases.compute_at(loops.out, loops.segment).bound_extent(P, count)
    phases.split(P, outer, inner, group).split(X, run, pixel, run_vectors * vectors.lanes).vectorize(pixel)
    phases.reorder(pixel, inner, run, outer, Y).unroll(inner)
    for convolution in convolutions:
        schedule_tiles(phases, run, convolution, vectors)
