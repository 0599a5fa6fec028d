"""Fused kernels at work: pipelines compiled for this processor, and who may use one when.

A pipeline is bound to its input while it runs: frames that run at the same time need one each. There are as many as
there are processors for, or FRAMES_AT_ONCE if one frame has all of them. A call that finds none idle waits for one.
Weights are an input too: kernels of one network with different weights share their pipelines.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeAlias

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.fused import FusedKernel
from esr_upscale.backends.halide import bicubic, rgb
from esr_upscale.backends.halide.pipeline import Job, Pipeline, SampleFormat, Vectors
from esr_upscale.backends.halide.registry import halide_families
from esr_upscale.backends.layout import RGB_COMPONENTS, UNBOUNDED_TASKS, Layout, sample_type
from esr_upscale.backends.packed import PackedRgb
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec, check_weights
from esr_upscale.plane_kernel import FRAMES_AT_ONCE, Weights, digest, threads_per_frame

Numbers: TypeAlias = tuple[NDArray[np.float32], ...]
"""What the constants of a pipeline are set to."""


class Pool:
    """Pipelines that are all the same, and those of them that are idle, each with the numbers that it was set to."""

    def __init__(self, pipelines: list[Pipeline], numbers: Numbers, threads: int) -> None:
        self.layout = pipelines[0].layout
        self.threads = threads
        self._idle: queue.SimpleQueue[tuple[Pipeline, Numbers]] = queue.SimpleQueue()
        for pipeline in pipelines:
            self._idle.put((pipeline, numbers))

    @contextmanager
    def pipeline(self, numbers: Numbers) -> Iterator[Pipeline]:
        """Have a pipeline that is set to `numbers`; wait for one if none is idle."""
        pipeline, current = self._idle.get()
        try:
            if current is not numbers:
                for constant, values in zip(pipeline.constants, numbers, strict=True):
                    constant.set(values)
            yield pipeline
        finally:
            self._idle.put((pipeline, numbers))


class PooledCode:
    """Pipelines, and the numbers that they are set to. A NativeCode."""

    def __init__(self, pool: Pool, numbers: Numbers) -> None:
        self.pool, self._numbers = pool, numbers

    @property
    def layout(self) -> Layout:
        return self.pool.layout

    def fill(
        self, rows: NDArray[Any], planes: Sequence[NDArray[Any]], scalars: Sequence[float], concurrency: int
    ) -> None:
        threads = threads_per_frame(self.pool.threads, concurrency)
        # Halide's threads are as many as there are processors. Fewer of them work on a plane of fewer tasks.
        tasks = threads if threads < _processors() else UNBOUNDED_TASKS
        with self.pool.pipeline(self._numbers) as pipeline:
            try:
                _set_inputs(pipeline, planes, scalars)
                pipeline.tasks.set(tasks)
                pipeline.out.realize(hl.Buffer(rows))
            except hl.HalideError as error:
                raise EngineError(f"the fused kernel failed on a plane of {planes[0].shape}: {error}") from error


def plan(spec: ModelSpec, weights: Weights, pixel_depth: int, threads: int) -> FusedKernel:
    """Compile the kernel of a model whose family is in `halide_families`, or find the one that this process has."""
    check_weights(spec, weights, "the given weights")
    return _model_kernel(_Model(spec, digest(weights), weights), pixel_depth, threads)


@cache
def plan_chroma(scale: int, siting_x: Siting, siting_y: Siting, pixel_depth: int, threads: int) -> FusedKernel:
    """Compile the kernel of a chroma plane, or find the one that this process has."""
    return _kernel(lambda job: bicubic.build(scale, siting_x, siting_y, job), pixel_depth, threads)


@cache
def plan_rgb(scale: int, depth: int, threads: int) -> PackedRgb:
    """Compile the kernels of packed RGB, or find those that this process has."""
    color = partial(rgb.build_color, scale)
    return PackedRgb(_kernel(rgb.build_luma, depth, threads), _kernel(color, depth, threads))


@dataclass(frozen=True, slots=True)
class _Model:
    spec: ModelSpec
    digest: str
    weights: Weights = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Code:
    """What two models have in common whose pipelines are the same code."""

    spec: ModelSpec
    shapes: tuple[tuple[int, ...], ...]
    """Of the numbers: mirrored filters have others."""
    digest: str
    """Of weights that are in the code itself."""
    build: Callable[[Job], Pipeline] = field(compare=False)


@cache
def _model_kernel(model: _Model, depth: int, threads: int) -> FusedKernel:
    family = halide_families()[model.spec.family]
    build = partial(family.build, model.spec, model.weights)
    numbers = _numbers(build(_job(depth)))
    shapes = tuple(values.shape for values in numbers)
    code = _Code(model.spec, shapes, model.digest if family.in_code else "", build)
    return FusedKernel(PooledCode(_model_pool(code, depth, threads), numbers))


@cache
def _model_pool(code: _Code, depth: int, threads: int) -> Pool:
    return _compile_pool(code.build, depth, threads)


def _kernel(build: Callable[[Job], Pipeline], depth: int, threads: int) -> FusedKernel:
    return FusedKernel(PooledCode(_compile_pool(build, depth, threads), ()))


def _job(depth: int) -> Job:
    return Job(SampleFormat(depth), Vectors.of(hl.get_jit_target_from_environment()), embeds=False)


def _numbers(pipeline: Pipeline) -> Numbers:
    return tuple(constant.values for constant in pipeline.constants)


def _compile_pool(build: Callable[[Job], Pipeline], depth: int, threads: int) -> Pool:
    processors, target = _processors(), hl.get_jit_target_from_environment()
    pipelines = [build(_job(depth)) for _ in range(max(processors // threads, min(FRAMES_AT_ONCE, processors)))]
    with ThreadPoolExecutor(len(pipelines)) as pool:
        list(pool.map(partial(compile_pipeline, target=target), pipelines))
    return Pool(pipelines, (), threads)


def _processors() -> int:
    return os.cpu_count() or 1


def compile_pipeline(pipeline: Pipeline, target: hl.Target) -> None:
    """Compile by a run on one pixel, which takes about a second and lets other threads go on.

    Halide's own `compile_jit` would hold the interpreter's lock.
    """
    layout = pipeline.layout
    shapes = ((1, 1) if plane.dimensions() == 2 else (1, 1, RGB_COMPONENTS) for plane in pipeline.planes)
    pixels = [np.zeros(s, sample_type(p.type().bits())) for s, p in zip(shapes, pipeline.planes, strict=True)]
    _set_inputs(pipeline, pixels, [0.0 for _ in pipeline.scalars])
    for constant in pipeline.constants:
        constant.set(constant.values)
    pipeline.tasks.set(1)
    pipeline.out.realize(hl.Buffer(layout.rows(layout.allocate(1, 1))), target)


def _set_inputs(pipeline: Pipeline, planes: Sequence[NDArray[Any]], scalars: Sequence[float]) -> None:
    for param, plane in zip(pipeline.planes, planes, strict=True):
        # Halide reads planes only, but takes none that could not be written to.
        param.set(hl.Buffer(plane if plane.flags.writeable else np.asarray(_Memory(plane))))
    for scalar, value in zip(pipeline.scalars, scalars, strict=True):
        scalar.set(value)


class _Memory:
    """A plane's memory as numpy's array interface has it, said to be writable."""

    def __init__(self, plane: NDArray[Any]) -> None:
        self._owner = plane
        address, _ = plane.__array_interface__["data"]
        self.__array_interface__ = {**plane.__array_interface__, "data": (address, False)}
