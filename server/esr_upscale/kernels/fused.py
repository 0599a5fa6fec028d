"""Fused kernels at work: pipelines compiled for this processor, and who may use one when.

A pipeline is bound to its input while it runs, so that frames which run at the same time need one each. There are as
many as have processors to run on, or FRAMES_AT_ONCE where one frame would have all of them; whoever finds none idle
waits for one.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.kernels import bicubic, rgb
from esr_upscale.kernels.design import designs
from esr_upscale.kernels.interface import FRAMES_AT_ONCE, Memory, Weights, own_memory, share_of
from esr_upscale.kernels.layout import RGB_COMPONENTS, sample_type
from esr_upscale.kernels.manifest import EACH_STRIP, digest
from esr_upscale.kernels.packed import PackedRgb
from esr_upscale.kernels.pipeline import Format, Job, Pipeline, Vectors
from esr_upscale.models import ModelSpec, check_weights


class FusedKernel:
    """Pipelines that are all the same. A PlaneKernel, if they read one plane; a PlaneFunction."""

    engine = "fused"

    def __init__(self, pipelines: list[Pipeline], threads: int) -> None:
        self._layout = pipelines[0].layout
        self._threads = threads
        self._idle: queue.SimpleQueue[Pipeline] = queue.SimpleQueue()
        for pipeline in pipelines:
            self._idle.put(pipeline)

    def __call__(self, plane: NDArray[Any], memory: Memory = own_memory, among: int = 1) -> NDArray[Any]:
        """As PlaneKernel; rows of the result are padded.

        Raises:
            EngineError: Halide gives up, e.g. for want of memory.
        """
        height, width = plane.shape
        return self.run((plane,), (), (height, width), memory, among)

    def run(
        self,
        planes: Sequence[NDArray[Any]],
        scalars: Sequence[float],
        size: tuple[int, int],
        memory: Memory = own_memory,
        among: int = 1,
    ) -> NDArray[Any]:
        """As PlaneFunction."""
        height, width = size
        result = self._layout.allocate(height, width, memory)
        pipeline = self._idle.get()
        try:
            _set_inputs(pipeline, planes, scalars)
            pipeline.tasks.set(_tasks(share_of(self._threads, among)))
            pipeline.out.realize(hl.Buffer(self._layout.rows(result)))
        except hl.HalideError as error:
            raise EngineError(f"the fused kernel could not upscale a plane of {width}×{height}: {error}") from error
        finally:
            self._idle.put(pipeline)
        return self._layout.crop(result, width)


def plan(spec: ModelSpec, weights: Weights, pixel_depth: int, threads: int) -> FusedKernel | None:
    """Compile a model's kernel, or find the one that this process has; None for a family without one."""
    check_weights(spec, weights, "the given weights")
    if spec.family not in designs():
        return None
    return _model_kernel(_Model(spec, digest(weights), weights), pixel_depth, threads)


@cache
def plan_chroma(scale: int, siting_x: Siting, siting_y: Siting, pixel_depth: int, threads: int) -> FusedKernel:
    """Compile the kernel of a chroma plane, or find the one that this process has."""
    return _compiled(lambda job: bicubic.build(scale, siting_x, siting_y, job), pixel_depth, threads)


@cache
def plan_rgb(scale: int, depth: int, threads: int) -> PackedRgb:
    """Compile the kernels of packed RGB, or find those that this process has."""
    color = partial(rgb.build_color, scale)
    return PackedRgb(_compiled(rgb.build_luma, depth, threads), _compiled(color, depth, threads))


@dataclass(frozen=True, slots=True)
class _Model:
    spec: ModelSpec
    digest: str
    weights: Weights = field(compare=False)


@cache
def _model_kernel(model: _Model, depth: int, threads: int) -> FusedKernel:
    build = designs()[model.spec.family].build
    return _compiled(lambda job: build(model.spec, model.weights, job), depth, threads)


def _compiled(build: Callable[[Job], Pipeline], depth: int, threads: int) -> FusedKernel:
    processors, target = _processors(), hl.get_jit_target_from_environment()
    job = Job(Format(depth), Vectors.of(target))
    pipelines = [build(job) for _ in range(max(processors // threads, min(FRAMES_AT_ONCE, processors)))]
    with ThreadPoolExecutor(len(pipelines)) as pool:
        list(pool.map(partial(_compile, target=target), pipelines))
    return FusedKernel(pipelines, threads)


def _tasks(threads: int) -> int:
    # Halide's threads are as many as there are processors. Fewer of them work on a plane of fewer tasks.
    return threads if threads < _processors() else EACH_STRIP


def _processors() -> int:
    return os.cpu_count() or 1


def _compile(pipeline: Pipeline, target: hl.Target) -> None:
    # By a run on one pixel: that lets go of the interpreter for as long as it takes, about a second in which other
    # streams go on. `compile_jit` holds it.
    layout = pipeline.layout
    shapes = ((1, 1) if plane.dimensions() == 2 else (1, 1, RGB_COMPONENTS) for plane in pipeline.planes)
    pixels = [np.zeros(s, sample_type(p.type().bits())) for s, p in zip(shapes, pipeline.planes, strict=True)]
    _set_inputs(pipeline, pixels, [0.0 for _ in pipeline.scalars])
    pipeline.tasks.set(1)
    pipeline.out.realize(hl.Buffer(layout.rows(layout.allocate(1, 1))), target)


def _set_inputs(pipeline: Pipeline, planes: Sequence[NDArray[Any]], scalars: Sequence[float]) -> None:
    for param, plane in zip(pipeline.planes, planes, strict=True):
        param.set(hl.Buffer(_writable(plane)))
    for scalar, value in zip(pipeline.scalars, scalars, strict=True):
        scalar.set(value)


class _Memory:
    """A plane's memory as numpy's array interface has it, said to be writable."""

    def __init__(self, plane: NDArray[Any]) -> None:
        self._owner = plane
        address, _ = plane.__array_interface__["data"]
        self.__array_interface__ = {**plane.__array_interface__, "data": (address, False)}


def _writable(plane: NDArray[Any]) -> NDArray[Any]:
    # Halide reads planes only, but takes none that could not be written to.
    return plane if plane.flags.writeable else np.asarray(_Memory(plane))
