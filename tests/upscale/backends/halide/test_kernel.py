"""The fused kernels against the torch reference: any model, any size, any memory, any thread."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.clip import read_frames
from esr_upscale.backends.fused import FusedKernel
from esr_upscale.backends.halide import bicubic
from esr_upscale.backends.halide import kernel as fused
from esr_upscale.backends.halide.kernel import Pool, PooledCode
from esr_upscale.backends.halide.pipeline import Job, Pipeline, SampleFormat, Vectors
from esr_upscale.backends.layout import UNBOUNDED_TASKS
from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.errors import WeightsError
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec, list_models, load_weights, resolve
from esr_upscale.plane_kernel import PlaneKernel, Weights, threads_per_frame
from tests.support.pictures import mirrored, random_weights, synthetic_luma

DEFAULTS = [s for s in list_models() if (s.alias and not s.clean) or s.family == "bicubic"]
SAMPLE = [
    "esr_max_x2_k3_c1", "esr_max_x3_k7_c4", "esr_max_x4_k3_c8", "esr_max_x2_k7_c16",
    "esr_tm_x2_k3_c1", "esr_tm_x3_k5_c2", "esr_tm_x4_k7_c8", "esr_tm_x2_k7_c16",
    "esr_tr_x2_k3_c3", "esr_tr_x3_k3_c1", "esr_tr_x4_k5_c16", "esr_tr_x2_k7_c8",
    "esr_cnn_x2_c1_d1_s3", "esr_cnn_x3_c2_d3_s6", "esr_cnn_x4_c4_d9_s9", "esr_cnn_x2_c6_d5_s15",
    "espcn_x2_d0_s3", "espcn_x3_d1_s6", "espcn_x4_d4_s9", "espcn_x2_d8_s12",
    "fsrcnn_x2_d1_s3_m1", "fsrcnn_x3_d7_s6_m4", "fsrcnn_x4_d13_s9_m1", "fsrcnn_x2_d5_s3_m0",
    "esr_stack_x2_c6_l3", "esr_stack_x2_c8_l5", "esr_stack_x3_c10_l6", "esr_stack_x4_c5_l2", "esr_stack_x2_zeros",
    "esr_max_x2_zeros", "esr_tr_x3_zeros", "esr_cnn_x2_zeros", "espcn_x3_zeros", "fsrcnn_x2_zeros", "fsrcnn_x4_zeros",
]  # fmt: skip
MIRRORED = [
    "esr_max_x2_k3_c1", "esr_max_x3_k7_c3", "esr_max_x4_k5_c2", "esr_tm_x2_k7_c3", "esr_tm_x3_k5_c2", "esr_tm_x4_k3_c8",
    "esr_tr_x2_k5_c2", "esr_tr_x3_k3_c8", "esr_tr_x4_k5_c1", "esr_tr_x2_k7_c16", "esr_tm_x3_zeros", "esr_tr_x2_zeros",
]  # fmt: skip
SHAPES = [(1, 1), (1, 9), (2, 1), (37, 51), (66, 700)]


def _noise(shape: tuple[int, int], depth: int) -> NDArray[np.generic]:
    values = np.random.default_rng(depth).integers(0, 2**depth, shape)
    return values.astype(np.uint8 if depth == 8 else np.uint16)


def _picture(depth: int) -> NDArray[np.generic]:
    return _at_depth(synthetic_luma(135, 241), depth)


def _film(depth: int) -> NDArray[np.generic]:
    """The luma of a frame of a real film, 320×180."""
    return _at_depth(read_frames(320, 180, 1)[0].planes[0], depth)


def _at_depth(luma: NDArray[np.uint8], depth: int) -> NDArray[np.generic]:
    return luma if depth == 8 else luma.astype(np.uint16) * 4 + 1


def _fused(spec: ModelSpec, weights: Weights, depth: int, threads: int = 2) -> FusedKernel:
    kernel = fused.plan(spec, weights, depth, threads)
    assert isinstance(kernel, FusedKernel)
    assert kernel.backend == "fused"
    return kernel


def _agree(kernel: PlaneKernel, reference: PlaneKernel, planes: list[NDArray[np.generic]], scale: int) -> None:
    differences = []
    for plane in planes:
        actual, expected = kernel(plane), reference(plane)
        assert actual.shape == expected.shape == (scale * plane.shape[0], scale * plane.shape[1])
        assert actual.dtype == expected.dtype == plane.dtype
        differences.append(np.abs(actual.astype(np.int64) - expected.astype(np.int64)).ravel())
    all_differences = np.concatenate(differences)
    assert all_differences.max() <= 1
    assert (all_differences == 0).mean() >= 0.999


@pytest.mark.parametrize("spec", DEFAULTS, ids=lambda spec: spec.canonical_id)
@pytest.mark.parametrize("depth", [8, 10])
def test_default_models_agree_with_the_reference(spec: ModelSpec, depth: int) -> None:
    weights = load_weights(spec)
    planes = [_picture(depth), _film(depth), *(_noise(shape, depth) for shape in SHAPES)]
    _agree(_fused(spec, weights, depth), torch_kernel.reference(spec, weights, depth), planes, spec.scale)


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("depth", [8, 10])
def test_any_configuration_agrees_with_the_reference(name: str, depth: int) -> None:
    spec = resolve(name)
    weights = _tame(spec)
    planes = [_picture(depth), _film(depth), *(_noise(shape, depth) for shape in SHAPES)]
    _agree(_fused(spec, weights, depth), torch_kernel.reference(spec, weights, depth), planes, spec.scale)


def _tame(spec: ModelSpec) -> Weights:
    # Random weights of the size that layers have when they are made, so that wide ones do not clip all there is.
    return {
        name: tensor * np.float32(min(1.0, 3 / np.sqrt(np.prod(tensor.shape[1:])))) if tensor.ndim > 1 else tensor
        for name, tensor in random_weights(spec).items()
    }


@pytest.mark.parametrize("name", MIRRORED)
def test_mirrored_filters_agree_with_the_reference(name: str) -> None:
    spec = resolve(name)
    weights = mirrored(spec, _tame(spec))
    planes = [_picture(8), *(_noise(shape, 8) for shape in SHAPES)]
    _agree(_fused(spec, weights, 8), torch_kernel.reference(spec, weights, 8), planes, spec.scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("siting_x", list(Siting))
@pytest.mark.parametrize("siting_y", list(Siting))
def test_chroma_agrees_with_the_reference(scale: int, siting_x: Siting, siting_y: Siting) -> None:
    kernel = fused.plan_chroma(scale, siting_x, siting_y, 8, 2)
    assert isinstance(kernel, FusedKernel)
    planes = [_picture(8), *(_noise(shape, 8) for shape in SHAPES)]
    _agree(kernel, torch_kernel.plan_chroma(scale, siting_x, siting_y, 8), planes, scale)


@pytest.mark.parametrize("name", ["esr_tr_x2", "bicubic_x2", "espcn_x2"])
def test_a_large_picture(name: str) -> None:
    spec = resolve(name)
    weights, plane = load_weights(spec), synthetic_luma(1080, 1920)
    _agree(_fused(spec, weights, 8), torch_kernel.plan(spec, weights, 8, threads=2), [plane], 2)


@pytest.mark.parametrize("depth", [9, 12, 16])
def test_other_depths_are_right_to_a_code_value(depth: int) -> None:
    spec = resolve("esr_tr_x2")
    weights = load_weights(spec)
    kernel, reference = _fused(spec, weights, depth), torch_kernel.reference(spec, weights, depth)
    plane = _noise((40, 60), depth)
    difference = np.abs(kernel(plane).astype(np.int64) - reference(plane).astype(np.int64))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.95


@pytest.mark.parametrize("name", ["esr_tr_x2", "esr_cnn_x2", "bicubic_x3"])
def test_the_number_of_threads_changes_no_byte(name: str) -> None:
    spec = resolve(name)
    weights, plane = load_weights(spec), synthetic_luma(150, 200)
    expected = _fused(spec, weights, 8, threads=1)(plane)
    for threads in (2, 3):
        assert np.array_equal(_fused(spec, weights, 8, threads)(plane), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_frames_at_the_same_time_get_the_same_bytes(threads: int) -> None:
    spec = resolve("esr_tr_x2")
    kernel = _fused(spec, load_weights(spec), 8, threads)
    planes = [synthetic_luma(90, 160 + 8 * seed, seed) for seed in range(4)]
    alone = [kernel(plane).tobytes() for plane in planes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda plane: kernel(plane).tobytes(), planes * 10))
        shared = list(pool.map(lambda plane: kernel(plane, concurrency=2).tobytes(), planes * 10))
    assert together == shared == alone * 10


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [2, 3])
def test_fewer_threads_change_no_byte_of_a_plane(shape: tuple[int, int], threads: int) -> None:
    spec = resolve("esr_tr_x2")
    kernel, plane = _fused(spec, load_weights(spec), 8, threads), _noise(shape, 8)
    assert all(np.array_equal(kernel(plane, concurrency=concurrency), kernel(plane)) for concurrency in (2, 3, 9))


class Tasks:
    """Halide's parameter, and what it was set to."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.set_to: list[int] = []

    def set(self, value: int) -> None:
        self.set_to.append(value)
        self._real.set(value)


def test_frames_at_the_same_time_share_the_threads() -> None:
    assert [threads_per_frame(threads, 2) for threads in (1, 2, 3, 8)] == [1, 1, 2, 4]
    processors = os.cpu_count() or 1
    pipeline = bicubic.build(2, Siting.CENTRED, Siting.CENTRED, Job(SampleFormat(8), Vectors(8, 16)))
    tasks = Tasks(pipeline.tasks)
    kernel = FusedKernel(PooledCode(Pool([replace(pipeline, tasks=tasks)], (), processors), ()))
    for concurrency in (1, 2, 99):
        kernel(synthetic_luma(90, 160), concurrency=concurrency)
    half = -(-processors // 2)
    assert tasks.set_to == ([UNBOUNDED_TASKS, half, 1] if processors > 1 else [UNBOUNDED_TASKS] * 3)


@pytest.mark.parametrize("depth", [8, 10])
def test_strided_and_read_only_planes(depth: int) -> None:
    spec = resolve("esr_max_x2")
    kernel, plane = _fused(spec, load_weights(spec), depth), _noise((33, 64), depth)
    read_only = np.frombuffer(plane.tobytes(), plane.dtype).reshape(plane.shape)
    assert np.array_equal(kernel(read_only[:, :51]), kernel(plane[:, :51].copy()))
    assert np.array_equal(kernel(read_only[::2, 3:]), kernel(plane[::2, 3:].copy()))


@pytest.mark.parametrize("name", ["esr_stack_x2_c6_l3", "esr_tr_x2", "esr_cnn_x2"])
def test_weights_of_one_network_share_its_code(name: str) -> None:
    spec, plane = resolve(name), synthetic_luma(120, 130)
    one, other = ({k: v * np.float32(gain) for k, v in _weights(spec).items()} for gain in (1.0, 0.8))
    first = _fused(spec, one, 8)
    second = _fused(spec, other, 8)
    assert isinstance(first.code, PooledCode)
    assert isinstance(second.code, PooledCode)
    assert first.code.pool is second.code.pool
    expected = [torch_kernel.reference(spec, weights, 8)(plane) for weights in (one, other)]
    assert not np.array_equal(expected[0], expected[1])
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: (first, second)[n % 2](plane), range(12)))
    for n, result in enumerate(results):
        assert np.abs(result.astype(int) - expected[n % 2]).max() <= 1


def _weights(spec: ModelSpec) -> Weights:
    return load_weights(spec) if spec in DEFAULTS else random_weights(spec)


def test_weights_of_another_model() -> None:
    with pytest.raises(WeightsError, match="lacks tensor"):
        fused.plan(resolve("esr_tr_x2"), {}, 8, 1)


def test_others_go_on_while_a_kernel_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = resolve("espcn_x2_d3_s7")
    done, beats = threading.Event(), [0]
    during: list[int] = []

    def beat() -> None:
        while not done.wait(0.001):
            beats[0] += 1

    def compile_and_count(pipeline: Pipeline, target: Any) -> None:
        before = beats[0]
        compile_(pipeline, target)
        during.append(beats[0] - before)

    compile_ = fused.compile_pipeline
    monkeypatch.setattr(fused, "compile_pipeline", compile_and_count)
    thread = threading.Thread(target=beat)
    gc.collect()
    gc.disable()  # in a process of so many tests it stops all threads for nearly a second
    thread.start()
    try:
        fused.plan(spec, random_weights(spec), 8, 2)
    finally:
        done.set()
        thread.join()
        gc.enable()
    # A compiler that held the interpreter's lock would let one beat through at its end.
    assert min(during) > 5
