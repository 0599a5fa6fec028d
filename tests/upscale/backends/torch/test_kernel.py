"""The engines' contract: fast and plain agree, any size, any memory, any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.backends.torch.kernel import CpuKernel, ModuleKernel, SampleFormat
from esr_upscale.errors import EngineError, WeightsError
from esr_upscale.models import ModelSpec, list_models, load_weights, resolve
from tests.support.pictures import random_weights, synthetic_luma

NAMES = [
    "esr_max_x2", "esr_max_x3_k3_c1", "esr_tm_x2", "esr_tm_x3_k5_c2", "esr_tm_x2_k3_c1", "esr_tr_x2", "esr_tr_x3",
    "esr_tr_x4", "esr_tr_x2_k3_c1", "esr_tr_x2_k7_c4", "esr_tr_x2_zeros", "bicubic_x2", "bicubic_x3",
]  # fmt: skip
SHAPES = [(1, 1), (1, 9), (2, 1), (37, 51), (64, 48)]


def _plane(shape: tuple[int, int], depth: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    values = np.random.default_rng(depth).integers(0, 2**depth, shape)
    return values.astype(np.uint8) if depth == 8 else values.astype(np.uint16)


def _differences(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.abs(a.astype(np.int64) - b.astype(np.int64))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("depth", [8, 10, 16])
@pytest.mark.parametrize("threads", [1, 2])
def test_strips_agree_with_the_module(name: str, depth: int, threads: int) -> None:
    spec = resolve(name)
    weights = random_weights(spec)
    fast, plain = torch_kernel.plan(spec, weights, depth, threads=threads), torch_kernel.reference(spec, weights, depth)
    assert isinstance(fast, CpuKernel)
    assert isinstance(plain, ModuleKernel)
    pairs = [(fast(plane), plain(plane)) for plane in (_plane(shape, depth) for shape in SHAPES)]
    for shape, (a, b) in zip(SHAPES, pairs, strict=True):
        assert a.shape == b.shape == (shape[0] * spec.scale, shape[1] * spec.scale)
        assert a.dtype == b.dtype == (np.uint8 if depth == 8 else np.uint16)
    differences = np.concatenate([_differences(a, b).ravel() for a, b in pairs])
    assert differences.max() <= 1
    assert (differences == 0).mean() >= (0.999 if depth == 8 else 0.99 if depth == 10 else 0.9)


@pytest.mark.parametrize(
    "spec", [s for s in list_models() if s.tensor_shapes and not s.clean], ids=lambda s: s.canonical_id
)
@pytest.mark.parametrize(("depth", "equal"), [(8, 0.999), (10, 0.999)])
def test_shipped_models_agree_with_the_module(spec: ModelSpec, depth: int, equal: float) -> None:
    picture = synthetic_luma(120, 200)
    plane = picture if depth == 8 else picture.astype(np.uint16) * 4
    weights = load_weights(spec)
    differences = _differences(
        torch_kernel.plan(spec, weights, depth, threads=2)(plane), torch_kernel.reference(spec, weights, depth)(plane)
    )
    assert differences.max() <= 1
    assert (differences == 0).mean() >= equal


def test_many_strips_make_one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = resolve("esr_tr_x2")
    kernel, plane = torch_kernel.plan(spec, load_weights(spec), 8, threads=2), synthetic_luma(61, 80)
    whole = kernel(plane)
    monkeypatch.setattr(kernel._form, "strip_pixels", 300)  # type: ignore[attr-defined]
    assert np.array_equal(kernel(plane), whole)


def test_the_edge_is_replicated() -> None:
    spec = resolve("esr_tr_x2")
    kernel, plane = torch_kernel.plan(spec, load_weights(spec), 8), synthetic_luma(20, 24)
    larger = kernel(np.pad(plane, 6, mode="edge"))
    assert np.array_equal(larger[12:-12, 12:-12], kernel(plane))


def test_zero_padding_is_the_paper_s() -> None:
    spec = resolve("esr_tr_x2_zeros")
    weights = load_weights(resolve("esr_tr_x2"))
    plane = np.full((12, 12), 200, np.uint8)
    larger = torch_kernel.plan(resolve("esr_tr_x2"), weights, 8)(np.pad(plane, 6))
    assert np.array_equal(larger[12:-12, 12:-12], torch_kernel.plan(spec, weights, 8)(plane))


@pytest.mark.parametrize("name", ["esr_tr_x2", "bicubic_x2"])
@pytest.mark.parametrize("depth", [8, 10])
def test_strided_and_read_only_planes(name: str, depth: int) -> None:
    spec = resolve(name)
    kernel, plane = torch_kernel.plan(spec, load_weights(spec), depth), _plane((33, 64), depth)
    read_only = np.frombuffer(plane.tobytes(), plane.dtype).reshape(plane.shape)
    assert np.array_equal(kernel(read_only[:, :51]), kernel(plane[:, :51].copy()))
    reference = torch_kernel.reference(spec, load_weights(spec), depth)
    assert _differences(reference(read_only), kernel(plane)).max() <= 1


def test_flat_planes_stay_flat_and_in_range() -> None:
    for spec in (spec for spec in list_models() if not spec.clean):
        for depth, dtype in ((8, np.uint8), (10, np.uint16), (16, np.uint16)):
            kernel = torch_kernel.plan(spec, load_weights(spec), depth)
            for value in (0, 2**depth - 1):
                actual = kernel(np.full((5, 6), value, dtype)).astype(np.int64)
                assert np.abs(actual - value).max() <= 0.02 * 2**depth


def test_two_threads_get_the_same_bytes() -> None:
    spec = resolve("esr_tr_x2")
    kernel = torch_kernel.plan(spec, load_weights(spec), 8, threads=2)
    planes = [synthetic_luma(90, 160, seed) for seed in range(4)]
    alone = [kernel(plane).tobytes() for plane in planes]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda plane: kernel(plane).tobytes(), planes * 5))
        shared = list(pool.map(lambda plane: kernel(plane, concurrency=2).tobytes(), planes * 5))
    assert together == shared == alone * 5


def test_torch_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    spec = resolve("bicubic_x2")
    torch_kernel.plan(spec, {}, 8, threads=2)(synthetic_luma(16, 16))
    assert torch.get_num_threads() == before


class BrokenForm:
    """Cannot upscale any strip."""

    strip_pixels = 1000

    def __init__(self, failure: type[Exception]) -> None:
        self._failure = failure

    def __call__(self, strip: torch.Tensor) -> list[torch.Tensor]:
        raise self._failure("not today")


@pytest.mark.parametrize("failure", [MemoryError, IndexError])
def test_a_failure_in_a_strip_is_raised(failure: type[Exception]) -> None:
    kernel = CpuKernel(BrokenForm(failure), 2, 2, "edge", SampleFormat(8), threads=2)
    with pytest.raises(failure, match="not today"):
        kernel(synthetic_luma(64, 64))


def test_wrong_weights_and_missing_devices() -> None:
    spec = resolve("esr_tr_x2")
    with pytest.raises(WeightsError, match="lacks tensor"):
        torch_kernel.plan(spec, {}, 8)
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="use device 'cpu'"):
            torch_kernel.plan(spec, load_weights(spec), 8, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
@pytest.mark.parametrize("spec", [s for s in list_models() if not s.clean], ids=lambda spec: spec.canonical_id)
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_cuda_agrees(spec: ModelSpec, depth: int) -> None:
    weights, plane = load_weights(spec), _plane((60, 80), depth)
    cuda = torch_kernel.plan(spec, weights, depth, device="cuda")
    assert cuda.backend == "torch-cuda"
    assert _differences(cuda(plane), torch_kernel.reference(spec, weights, depth)(plane)).max() <= 1
