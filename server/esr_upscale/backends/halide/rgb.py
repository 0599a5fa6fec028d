"""Packed RGB as fused code: its luma for the model's kernel, and its colour laid over the upscaled luma.

The result is that of full-range YCbCr (BT.601) with bicubic chroma, but no plane of Cb or Cr is made. Cb and Cr are
B − Y and R − Y times a factor, and bicubic is linear, so the differences themselves are scaled:

    R' = Y' + bicubic(R − Y)        B' = Y' + bicubic(B − Y)        G' = Y' − (k_R·(R' − Y') + k_B·(B' − Y')) / k_G

The first component's weight in luma is an argument: it tells RGB from BGR, and one kernel serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import halide as hl

from esr_upscale.backends.halide.bicubic import TUNING, filtered
from esr_upscale.backends.halide.convolution import RUN
from esr_upscale.backends.halide.pipeline import (
    DY,
    C,
    Job,
    Loops,
    P,
    Pipeline,
    SampleFormat,
    X,
    Y,
    schedule_output,
    spread,
)
from esr_upscale.backends.layout import RGB_COMPONENTS, Layout
from esr_upscale.bt601 import KG, LUMA_DEPTH
from esr_upscale.filters import Siting, polyphase

_LUMA = SampleFormat(LUMA_DEPTH)


def build_luma(job: Job) -> Pipeline:
    """Return the pipeline from packed RGB of the job's format to 16-bit luma of the same size."""
    pixels, first = _pixels(job), hl.Param(hl.Float(32), "first")
    gain = hl.f32(_LUMA.maximum / job.format.maximum)
    line, out = hl.Func("line"), hl.Func(job.name)
    line[X, Y] = _LUMA.truncated(_luma_of(hl.BoundaryConditions.repeat_edge(pixels), first) * gain + hl.f32(0.5))
    out[X, DY, Y] = line[X, Y]

    loops = schedule_output(out, 1, TUNING)
    line.compute_at(loops.out, loops.row).vectorize(X, RUN * job.vectors.lanes)
    layout = Layout(1, LUMA_DEPTH, TUNING.segment_px, 0)
    return Pipeline((pixels,), (first,), loops.tasks, loops.out, layout, ())


def build_color(scale: int, job: Job) -> Pipeline:
    """Return the pipeline from packed RGB, and its luma after upscaling, to upscaled packed RGB of the job's format."""
    pixels, first = _pixels(job), hl.Param(hl.Float(32), "first")
    upscaled = hl.ImageParam(_LUMA.sample, 2, "upscaled")
    third = hl.f32(1 - KG) - first
    maximum, phases = job.format.maximum, polyphase(scale, Siting.CENTRED)

    source = hl.BoundaryConditions.repeat_edge(pixels)
    brightness, differences, lines = hl.Func("brightness"), hl.Func("differences"), hl.Func("lines")
    brightness[X, Y] = _luma_of(source, first)
    differences[X, Y, C] = hl.f32(source[2 * C, X, Y]) - brightness[X, Y]
    # Downwards: place 2·dy + c is difference c in the dy-th of the s lines that a row becomes.
    lines[X, Y, C] = spread(
        [filtered(phase, lambda k, c=c: differences[X, Y + k, c]) for phase in phases for c in range(2)],  # type: ignore[misc]
        C,
    )

    def across(c: int, weight: hl.Expr | hl.Param) -> hl.Expr:
        values = [
            filtered(phase, lambda k, dy=dy: lines[X + k, Y, 2 * dy + c])  # type: ignore[misc]
            for dy, phase in product(range(scale), phases)
        ]
        # Bicubic overshoots; a plane of Cb or Cr would be clipped here.
        limit = hl.f32(maximum) * (hl.f32(1) - weight)
        return hl.clamp(spread(values, P), -limit, limit)

    # The half that rounding needs goes in with the luma.
    luma, color, edged = hl.Func("luma"), hl.Func("color"), hl.BoundaryConditions.repeat_edge(upscaled)
    gain = hl.f32(maximum / _LUMA.maximum)
    places = product(range(scale), range(scale))
    luma[X, Y, P] = spread([hl.f32(edged[X * scale + dx, Y * scale + dy]) * gain + hl.f32(0.5) for dy, dx in places], P)
    above, below = across(0, first), across(1, third)
    middle = (first * above + third * below) * hl.f32(-1 / KG)
    color[X, Y, P] = tuple(job.format.truncated(luma[X, Y, P] + value) for value in (above, middle, below))

    # Pixel shuffle and packing, gone once the loop over the samples of an LR pixel is unrolled.
    out, sample = hl.Func(job.name), X % (RGB_COMPONENTS * scale)
    pixel = color[X // (RGB_COMPONENTS * scale), Y, DY * scale + sample // RGB_COMPONENTS]
    out[X, DY, Y] = hl.mux(sample % RGB_COMPONENTS, [pixel[c] for c in range(RGB_COMPONENTS)])

    loops = _schedule_color(out, _Stages(differences, lines, luma, color), scale, job.vectors.lanes)
    layout = Layout(scale, job.format.depth, TUNING.segment_px, 0, RGB_COMPONENTS)
    return Pipeline((pixels, upscaled), (first,), loops.tasks, loops.out, layout, ())


@dataclass(frozen=True, slots=True)
class _Stages:
    """What colour is made of, in this order."""

    differences: hl.Func
    lines: hl.Func
    luma: hl.Func
    color: hl.Func


def _schedule_color(out: hl.Func, stages: _Stages, scale: int, lanes: int) -> Loops:
    loops = schedule_output(out, scale, TUNING, RGB_COMPONENTS)
    run, column = hl.Var("run"), hl.Var("column")
    color, luma = stages.color, stages.luma
    color.compute_at(loops.out, loops.segment).bound_extent(P, scale**2)
    color.split(X, run, column, RUN * lanes).vectorize(column).reorder(column, P, run, Y).unroll(P)
    luma.compute_at(loops.out, loops.row).reorder_storage(X, P, Y).reorder(P, X, Y).unroll(P).vectorize(X, lanes)
    for func, level in ((stages.lines, loops.row), (stages.differences, loops.strip)):
        func.compute_at(loops.out, level).reorder_storage(X, C, Y).reorder(C, X, Y).unroll(C).vectorize(X, lanes)
    return loops


def _pixels(job: Job) -> hl.ImageParam:
    """Packed RGB as (component, x, y)."""
    pixels = hl.ImageParam(job.format.sample, 3, "pixels")
    pixels.dim(0).set_bounds(0, RGB_COMPONENTS).set_stride(1)
    pixels.dim(1).set_stride(RGB_COMPONENTS)
    return pixels


def _luma_of(pixels: hl.Func, first: hl.Param) -> hl.Expr:
    weights = (first, hl.f32(KG), hl.f32(1 - KG) - first)
    a, b, c = (weight * hl.f32(pixels[i, X, Y]) for i, weight in enumerate(weights))
    return a + b + c
