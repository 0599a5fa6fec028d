"""What all fused pipelines have in common: planes in, code values out, and the loops between them.

A pipeline is one pass over the picture. Strips of rows run in parallel; a strip is worked through tile by tile, a tile
row by row, a row in segments. What a network makes of a segment lies in registers and in a few lines of cache:

    for task (parallel) · for strip · for tile · for row · for segment: phases of `segment` LR pixels → s rows of
    s·segment samples

J. Ragan-Kelley et al., "Halide: A Language and Compiler for Optimizing Parallelism, Locality, and Recomputation in
Image Processing Pipelines", PLDI 2013. Here the algorithm and its schedule stand in functions of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.layout import Layout
from esr_upscale.models import Padding

X, Y, C, P, DY = hl.Var("x"), hl.Var("y"), hl.Var("c"), hl.Var("p"), hl.Var("dy")
"""Column and row of a plane, channel of a layer, phase of an output sample: dy·s + dx. An upscaled plane is (x, dy, y):
column, and the dy-th of the s rows that LR row y becomes."""


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """What goes in and comes out: code values of 1 … 16 bits, uint8 up to 8 bits and uint16 above."""

    depth: int

    @property
    def maximum(self) -> int:
        return (1 << self.depth) - 1

    @property
    def sample(self) -> hl.Type:
        return hl.UInt(8) if self.depth <= 8 else hl.UInt(16)

    def truncated(self, values: hl.Expr) -> hl.Expr:
        """Clip float code values and cut off what is behind the point. Rounding needs half added to them before."""
        # Saturating narrowing clips below for nothing; above it would do so only where the type is full.
        return hl.saturating_cast(self.sample, hl.i32(hl.min(values, hl.f32(self.maximum + 0.5))))


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of a processor."""

    lanes: int
    """float32 values in one."""
    registers: int
    """How many there are."""

    @classmethod
    def of(cls, target: hl.Target) -> Vectors:
        """Those of a target: 16 registers with SSE and AVX2, 32 with AVX-512 and on Arm."""
        many = target.arch == hl.TargetArch.ARM or target.has_feature(hl.TargetFeature.AVX512)
        return cls(target.natural_vector_size(hl.Float(32)), 32 if many else 16)


@dataclass(frozen=True, slots=True)
class Job:
    """What a pipeline is built for."""

    format: SampleFormat
    vectors: Vectors
    name: str = "out"
    """The function's name, where it is compiled into a library."""
    embeds: bool = True
    """Whether weights are compiled into the code; otherwise they are inputs, which can be set before each run."""


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Numbers that a pipeline reads, such as weights: a part of its code, or an input of its own."""

    values: NDArray[np.float32]
    source: hl.Buffer | hl.ImageParam

    @classmethod
    def of(cls, array: NDArray[np.float32], job: Job) -> Constant:
        """Take a copy of `array`; Halide's first dimension is numpy's last."""
        values = np.array(array, np.float32, order="C")
        if job.embeds:
            return cls(values, hl.Buffer(values))
        param = hl.ImageParam(hl.Float(32), values.ndim)
        # As much is known of it as of an embedded one: all but where it lies.
        stride = 1
        for place, extent in enumerate(reversed(values.shape)):
            param.dim(place).set_bounds(0, extent)
            param.dim(place).set_stride(stride)
            stride *= extent
        return cls(values, param)

    def set(self, values: NDArray[np.float32]) -> None:
        """Have the next runs read `values`, of the same shape, which must live as long. Not for embedded ones."""
        self.source.set(hl.Buffer(values))


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes of the loops, found by measurement; any of them gives the same picture."""

    strip_rows: int = 8
    """LR rows that one task does at most."""
    segment_px: int = 32
    """LR pixels whose phases are made and stored together: whole register tiles, 32 with AVX-512."""
    tile_segments: int = 0
    """Segments of a row, at most, before the next row is begun; 0 is all of them."""


@dataclass(frozen=True, slots=True)
class Loops:
    """Where stages may be computed: inside a strip, a tile, a row, or a segment of the output."""

    out: hl.Func
    tasks: hl.Param
    strip: hl.Var
    tile: hl.Var
    row: hl.Var
    segment: hl.Var


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A scheduled pipeline: `planes` in, `out` out, which is laid out as `layout` says."""

    planes: tuple[hl.ImageParam, ...]
    scalars: tuple[hl.Param, ...]
    """float32 values that it is called with, after the planes."""
    tasks: hl.Param
    """How many tasks a plane is cut into at most, 1 or more; whole strips all."""
    out: hl.Func
    layout: Layout
    constants: tuple[Constant, ...]
    """Arrays that the pipeline also reads; Halide holds no reference to them."""


def read(luma: hl.ImageParam, padding: Padding) -> hl.Func:
    """Return the plane as float32 code values, defined everywhere: its edge replicated, or zeros around it."""
    bounded = (
        hl.BoundaryConditions.repeat_edge(luma)
        if padding == "edge"
        else hl.BoundaryConditions.constant_exterior(luma, hl.cast(luma.type(), 0))
    )
    source = hl.Func("source")
    source[X, Y] = hl.f32(bounded[X, Y])
    return source


def interleave(phases: hl.Func, scale: int, name: str) -> hl.Func:
    """Pixel shuffle: (x, y, p) → (x, dy, y) of the upscaled plane."""
    return gather([(phases, range(scale**2))], scale, name)


def gather(sources: Sequence[tuple[hl.Func, Sequence[int]]], scale: int, name: str) -> hl.Func:
    """Pixel shuffle of phases from several Funcs: each (x, y, p), and which of the s² phases its p = 0, 1, … are.

    Of a phase that comes up again the first one is taken.
    """
    places_of: dict[int, tuple[int, int]] = {}
    for number, (_, phases) in enumerate(sources):
        for place, phase in enumerate(phases):
            places_of.setdefault(phase, (number, place))
    # All of this is gone once the loops over dx and dy are unrolled.
    phase = DY * scale + X % scale
    lookup = [places_of[p] for p in range(scale**2)]
    samples = []
    for number, (func, _) in enumerate(sources):
        places = [place if of_number == number else 0 for of_number, place in lookup]
        samples.append(func[X // scale, Y, _table(places, phase)])
    out = hl.Func(name)
    out[X, DY, Y] = spread(samples, _table([number for number, _ in lookup], phase))
    return out


def _table(values: Sequence[int], index: hl.Expr) -> hl.Expr:
    return index if list(values) == list(range(len(values))) else hl.mux(index, list(values))


def finish(luma: hl.ImageParam, loops: Loops, scale: int, tuning: Tuning, job: Job, *constants: Constant) -> Pipeline:
    layout = Layout(scale, job.format.depth, tuning.segment_px, tuning.tile_segments)
    return Pipeline((luma,), (), loops.tasks, loops.out, layout, constants)


STRIPS = 4
"""A plane has a multiple of so many strips, where it is high enough, so that 2 or 4 threads have as much to do each."""


def schedule_output(out: hl.Func, scale: int, tuning: Tuning, components: int = 1) -> Loops:
    """Lay out the loops over the upscaled plane, whose rows have the samples of `components` interleaved."""
    task, strip, tile, row, segment, xi, pixel, dx = (
        hl.Var(name) for name in ("task", "strip", "tile", "row", "segment", "xi", "pixel", "dx")
    )
    across = scale * components
    samples = across * tuning.segment_px
    buffer = out.output_buffer()
    buffer.dim(0).set_min(0)
    buffer.dim(1).set_bounds(0, scale)
    buffer.dim(2).set_min(0)
    width, height = buffer.dim(0).extent(), buffer.dim(2).extent()
    out.bound(X, 0, width // samples * samples)
    strips = STRIPS * _ceil(height, STRIPS * tuning.strip_rows)
    # The last strip is moved up to end with the plane, which makes some rows twice. A guard instead would hide from
    # Halide that each row follows the one before, and layers would make all rows that the next one looks at anew.
    rows, tasks = _ceil(height, strips), hl.Param(hl.Int(32), "tasks")
    out.split(Y, strip, row, rows, hl.TailStrategy.ShiftInwards)
    out.split(strip, task, strip, _ceil(_ceil(height, rows), tasks), hl.TailStrategy.ShiftInwards)
    out.split(X, segment, xi, samples, hl.TailStrategy.RoundUp).split(xi, pixel, dx, across)
    order = [dx, pixel, DY, segment, row, strip, task]
    if tuning.tile_segments:
        segments = width // samples
        tiles = _ceil(segments, tuning.tile_segments)
        out.split(segment, tile, segment, _ceil(segments, tiles), hl.TailStrategy.RoundUp)
        order.insert(5, tile)
    out.reorder(*order).unroll(dx).unroll(DY).vectorize(pixel).parallel(task)
    out.never_partition([row, strip, segment, task])
    return Loops(out, tasks, strip, tile if tuning.tile_segments else strip, row, segment)


def _ceil(a: hl.Expr, b: hl.Expr | hl.Param | int) -> hl.Expr:
    return (a + b - 1) // b


def spread(values: Sequence[hl.Expr], index: hl.Expr) -> hl.Expr:
    """Return the value of that index, for a loop over `index` that is unrolled."""
    return hl.mux(index, list(values)) if len(values) > 1 else values[0]
