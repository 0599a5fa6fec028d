"""Convolutions as register tiles: a block of filters on a run of pixels, every weight loaded once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.kernels.pipeline import C, Format, Loops, P, Vectors, X, Y

SPARE = 4
"""Registers that a tile leaves for what is multiplied."""
RUN = 2
"""Vectors of pixels that each filter of a tile is applied to."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of `rows` outputs for each of several phases, or of a layer, which has one phase."""

    weights: NDArray[np.float32]
    """(phases, rows, inputs, K, K)."""
    bias: NDArray[np.float32]
    """(phases, rows)."""
    left: int
    """How far to the left of an output pixel, and above it, the first tap lies."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """Filters at work: `blocks` of them, each a Func (x, y, c, p) with so many rows."""

    blocks: tuple[tuple[hl.Func, hl.RDom, int], ...]
    responses: tuple[hl.Expr, ...]
    """What each row makes of pixel (x, y) for phase p."""
    constants: tuple[hl.Buffer, ...]


def convolve(source: Callable[[hl.Expr, hl.Expr, hl.Expr], hl.Expr], filters: Filters, block: int) -> Convolution:
    """Apply `filters` to `source`(x, y, channel), in tiles of `block` rows."""
    _, rows, inputs, kernel, _ = filters.weights.shape
    blocks, responses, constants = [], [], []
    for first in range(0, rows, block):
        part = slice(first, min(first + block, rows))
        weights, bias = _constant(filters.weights[:, part]), _constant(filters.bias[:, part])
        taps = hl.RDom([(0, kernel), (0, kernel), (0, inputs)])
        conv = hl.Func("conv")
        conv[X, Y, C, P] = bias[C, P]
        at = source(X + taps.x - filters.left, Y + taps.y - filters.left, taps.z)
        conv[X, Y, C, P] += weights[taps.x, taps.y, taps.z, C, P] * at
        blocks.append((conv, taps, part.stop - part.start))
        responses += [conv[X, Y, i, P] for i in range(part.stop - part.start)]
        constants += [weights, bias]
    return Convolution(tuple(blocks), tuple(responses), tuple(constants))


def _constant(array: NDArray[np.float32]) -> hl.Buffer:
    # Halide's first dimension is numpy's last. The buffer owns the copy.
    return hl.Buffer(np.ascontiguousarray(array, np.float32))


def most_rows(vectors: Vectors) -> int:
    """How many filters a register tile can have."""
    return (vectors.registers - SPARE) // RUN


def phase_group(rows: int, phases: int, vectors: Vectors) -> int:
    """How many phases' rows a tile can hold at once."""
    return max(n for n in range(1, phases + 1) if phases % n == 0 and (n == 1 or n * rows <= most_rows(vectors)))


def split_evenly(rows: int, most: int) -> int:
    """The size of blocks, `most` at most, that leaves the last one the least behind the others."""
    return -(-rows // -(-rows // most))


def schedule_tiles(consumer: hl.Func, at: hl.Var, convolution: Convolution, vectors: Vectors) -> None:
    """Compute a convolution in registers wherever `consumer` has got to `at`, a run of pixels."""
    for conv, taps, rows in convolution.blocks:
        conv.compute_at(consumer, at).bound_extent(C, rows)
        conv.reorder(C, P, X, Y).unroll(C).unroll(P).vectorize(X, vectors.lanes).unroll(X)
        update = conv.update()
        update.reorder(C, P, X, taps.x, taps.y, taps.z, Y).unroll(C).unroll(P).vectorize(X, vectors.lanes).unroll(X)
        update.unroll(taps.x)


def phases_of(convolution: Convolution, choose: Callable[[Sequence[hl.Expr]], hl.Expr], coding: Format) -> hl.Func:
    """Code values (x, y, p): what the head makes of a phase's rows, which has half added to it already."""
    phases = hl.Func("phases")
    phases[X, Y, P] = coding.truncated(choose(convolution.responses))
    return phases


def schedule_phases(
    phases: hl.Func, loops: Loops, convolution: Convolution, group: int, count: int, vectors: Vectors
) -> None:
    """Make the phases of a segment, `group` of them at a time."""
    outer, inner, run, pixel = hl.Var("outer"), hl.Var("inner"), hl.Var("run"), hl.Var("pixel")
    phases.compute_at(loops.out, loops.segment).bound_extent(P, count)
    phases.split(P, outer, inner, group).split(X, run, pixel, RUN * vectors.lanes).vectorize(pixel)
    phases.reorder(pixel, inner, run, outer, Y).unroll(inner)
    schedule_tiles(phases, run, convolution, vectors)
