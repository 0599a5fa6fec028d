"""Bicubic: Keys' cubic with a = −0.5, one axis after the other, for luma and for chroma with sited phases.

R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981. The rows that the
vertical filter looks at are filtered horizontally once, and kept until it has gone past them.
"""

from __future__ import annotations

from collections.abc import Callable

import halide as hl

from esr_upscale.filters import TAPS, Phase, Siting, polyphase
from esr_upscale.kernels.design import Design
from esr_upscale.kernels.interface import Weights
from esr_upscale.kernels.pipeline import (
    C,
    Job,
    P,
    Pipeline,
    Tuning,
    X,
    Y,
    finish,
    interleave,
    read,
    schedule_output,
    spread,
)
from esr_upscale.models import ModelSpec

TUNING = Tuning(strip_rows=16, segment_px=32)
LINES = 8
"""Rows that are kept: a power of two, and at least the five that the phases of one row look at."""


def build(scale: int, siting_x: Siting, siting_y: Siting, job: Job) -> Pipeline:
    """The pipeline of a plane whose samples sit as given on each axis."""
    luma = hl.ImageParam(job.format.sample, 2, "luma")
    source = read(luma, "edge")
    columns, rows = polyphase(scale, siting_x), polyphase(scale, siting_y)
    across, phases = hl.Func("across"), hl.Func("phases")
    across[X, Y, C] = spread([_filtered(phase, lambda k: source[X + k, Y]) for phase in columns], C)
    # The half that rounding needs goes in with the last filter.
    down = [
        _filtered(row, lambda k, dx=dx: across[X, Y + k, dx]) + hl.f32(0.5)  # type: ignore[misc]
        for row in rows
        for dx in range(scale)
    ]
    phases[X, Y, P] = job.format.truncated(spread(down, P))
    out = interleave(phases, scale, job.name)

    loops = schedule_output(out, scale, TUNING, job.tasks)
    phases.compute_at(loops.out, loops.segment).bound_extent(P, scale**2)
    phases.reorder(P, X, Y).unroll(P).vectorize(X, job.vectors.lanes)
    across.store_at(loops.out, loops.strip).compute_at(loops.out, loops.row).bound_extent(C, scale)
    across.reorder(C, X, Y).unroll(C).vectorize(X, job.vectors.lanes).fold_storage(Y, LINES).reorder_storage(X, C, Y)
    source.compute_at(across, Y).vectorize(X, job.vectors.lanes)
    return finish(luma, out, scale, TUNING, job)


def _filtered(phase: Phase, at: Callable[[int], hl.Expr]) -> hl.Expr:
    first, *others = [hl.f32(phase.weights[k]) * at(phase.first + k) for k in range(TAPS) if phase.weights[k]]
    return sum(others, first)


def _build(spec: ModelSpec, weights: Weights, job: Job) -> Pipeline:
    del weights
    return build(spec.scale, Siting.CENTRED, Siting.CENTRED, job)


DESIGNS = (Design("bicubic", _build),)
