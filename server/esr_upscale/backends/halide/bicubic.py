"""Bicubic: Keys' cubic with a = −0.5, one axis after the other, for luma and for chroma with sited phases.

R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981. A row of input is
filtered downwards to s lines, which stay in the first cache while they are filtered across. The other way round, rows
filtered across and kept for the filter downwards, takes 1.7 times as long: as many products, and more to keep.
"""

from __future__ import annotations

from collections.abc import Callable

import halide as hl

from esr_upscale.backends.halide.convolution import RUN
from esr_upscale.backends.halide.pipeline import (
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
from esr_upscale.backends.halide.registry import HalideFamily
from esr_upscale.filters import TAPS, Phase, Siting, polyphase

TUNING = Tuning(strip_rows=16, segment_px=32)


def build(scale: int, siting_x: Siting, siting_y: Siting, job: Job) -> Pipeline:
    """Return the pipeline of a plane whose samples sit as given on each axis."""
    luma = hl.ImageParam(job.format.sample, 2, "luma")
    source = read(luma, "edge")
    columns, rows = polyphase(scale, siting_x), polyphase(scale, siting_y)
    lines, phases = hl.Func("lines"), hl.Func("phases")
    lines[X, Y, C] = spread([filtered(phase, lambda k: source[X, Y + k]) for phase in rows], C)
    # The half that rounding needs goes in with the last filter.
    across = [
        filtered(phase, lambda k, dy=dy: lines[X + k, Y, dy]) + hl.f32(0.5)  # type: ignore[misc]
        for dy in range(scale)
        for phase in columns
    ]
    phases[X, Y, P] = job.format.truncated(spread(across, P))
    out = interleave(phases, scale, job.name)

    loops = schedule_output(out, scale, TUNING)
    run, pixel = hl.Var("run"), hl.Var("pixel")
    phases.compute_at(loops.out, loops.segment).bound_extent(P, scale**2)
    phases.split(X, run, pixel, RUN * job.vectors.lanes).vectorize(pixel).reorder(pixel, P, run, Y).unroll(P)
    lines.compute_at(loops.out, loops.row).reorder_storage(X, C, Y)
    lines.reorder(C, X, Y).unroll(C).vectorize(X, job.vectors.lanes)
    source.compute_at(loops.out, loops.strip).vectorize(X, job.vectors.lanes)
    return finish(luma, loops, scale, TUNING, job)


def filtered(phase: Phase, at: Callable[[int], hl.Expr]) -> hl.Expr:
    first, *others = [hl.f32(phase.weights[k]) * at(phase.first + k) for k in range(TAPS) if phase.weights[k]]
    return sum(others, first)


FAMILIES = (HalideFamily("bicubic", lambda spec, _, job: build(spec.scale, Siting.CENTRED, Siting.CENTRED, job)),)
