"""Kernels compiled ahead of time: here through ctypes, for Arm under qemu; the same picture as everywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_upscale.backends import halide
from esr_upscale.backends.aot.compile import compile_library
from esr_upscale.backends.aot.library import CompiledKernels, LibraryFunction
from esr_upscale.backends.aot.manifest import LIBRARY, MANIFEST, CompiledFunction, read_manifest
from esr_upscale.backends.fused import FusedKernel
from esr_upscale.backends.halide import kernel as fused
from esr_upscale.engine import EngineSettings, LoadedModel, backend_name
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.models import load_weights, resolve
from tests.support.frames import noise_planes
from tests.support.pictures import random_weights, synthetic_luma

HARNESS = Path(__file__).with_name("call_kernel.c")
ARM_GCC, X86_GCC = "aarch64-linux-gnu-gcc", "x86_64-linux-gnu-gcc"
QEMU_ARM, QEMU_X86 = "qemu-aarch64-static", "qemu-x86_64-static"
ARM = [QEMU_ARM, "-L", "/usr/aarch64-linux-gnu"]
NAMES = ["esr_max_x2", "esr_tr_x2", "espcn_x2"]
SPEC = resolve("esr_tr_x2")


def _needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} cannot be found")


on_x86 = _needs(X86_GCC)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library for x86-64 with eSR-TR at 8 and 10 bits."""
    directory = tmp_path_factory.mktemp("native")
    compile_library([(SPEC, load_weights(SPEC))], (8, 10), "x86-64-linux", directory)
    return directory


@on_x86
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("shape", [(1, 1), (37, 51), (90, 400)])
def test_ahead_of_time_and_jit_give_the_same_picture(native: Path, depth: int, shape: tuple[int, int]) -> None:
    weights = load_weights(SPEC)
    aot = CompiledKernels(native, 2).plan(SPEC, weights, depth)
    jit = fused.plan(SPEC, weights, depth, 2)
    assert aot is not None
    assert jit is not None
    assert aot.backend == "fused"
    plane = np.random.default_rng(3).integers(0, 2**depth, shape).astype(np.uint8 if depth == 8 else np.uint16)
    plane.flags.writeable = False
    # Not always the same bytes: on processors with AVX-512 the two have different tiles, and other products are fused.
    _nearly_equal(aot(plane), jit(plane))
    wide = np.repeat(plane, 2, axis=0)[::2]
    assert np.array_equal(aot(wide), aot(plane))


@on_x86
def test_chroma_is_compiled_with_every_siting(native: Path) -> None:
    library = CompiledKernels(native, 1)
    plane = synthetic_luma(40, 50)
    for siting_x in (Siting.CENTRED, Siting.COSITED):
        for siting_y in Siting:
            aot = library.plan_chroma(2, siting_x, siting_y, 8)
            jit = fused.plan_chroma(2, siting_x, siting_y, 8, 1)
            assert aot is not None
            assert jit is not None
            assert np.array_equal(aot(plane), jit(plane))
    assert library.plan_chroma(3, Siting.CENTRED, Siting.CENTRED, 8) is None


@on_x86
def test_rgb_is_compiled_with_16_bits(native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where it is not, RGB has no kernels of its own."""
    spec = resolve("bicubic_x2")
    compile_library([(spec, load_weights(spec))], (8, 16), "x86-64-linux", tmp_path)
    in_time = LoadedModel(spec, load_weights(spec), EngineSettings(threads=2))
    frames = [_rgb_frame(name) for name in ("rgb24", "bgr24", "rgb48le", "bgr48le")]
    expected = [in_time.upscaler(frame).frame.planes[0] for frame in frames]
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    aot = LoadedModel(spec, load_weights(spec), EngineSettings(threads=2, kernels=tmp_path, backend="fused"))
    for frame, plane in zip(frames, expected, strict=True):
        assert aot.rgb(frame.format.depth) is not None
        _nearly_equal(aot.upscaler(frame).frame.planes[0], plane)
    assert CompiledKernels(native, 1).plan_rgb(2, 8) is None
    assert CompiledKernels(tmp_path, 1).plan_rgb(3, 8) is None


def _rgb_frame(name: str) -> Frame:
    fmt = pixel_format(name)
    return Frame(fmt, 51, 37, noise_planes(fmt, 51, 37))


@on_x86
def test_threads_share_a_compiled_kernel(native: Path) -> None:
    kernel = CompiledKernels(native, 2).plan(SPEC, load_weights(SPEC), 8)
    assert kernel is not None
    planes = [synthetic_luma(60, 90 + seed, seed) for seed in range(4)]
    alone = [kernel(plane).tobytes() for plane in planes]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda plane: kernel(plane).tobytes(), planes * 10)) == alone * 10
        assert list(pool.map(lambda plane: kernel(plane, concurrency=2).tobytes(), planes * 10)) == alone * 10


@on_x86
def test_a_model_runs_without_halide(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EngineSettings(kernels=native, threads=2)
    expected = LoadedModel(SPEC, load_weights(SPEC), EngineSettings(threads=2)).luma(8)(synthetic_luma(20, 30))
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    model = LoadedModel(SPEC, load_weights(SPEC), settings)
    model.warm_up()
    assert model.backend == backend_name(SPEC, load_weights(SPEC), settings) == "fused"
    kernel = model.luma(8)
    assert isinstance(kernel, FusedKernel)
    assert isinstance(kernel.code, LibraryFunction)
    assert np.array_equal(model.luma(8)(synthetic_luma(20, 30)), expected)


@on_x86
def test_what_a_library_does_not_have(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    settings, other = EngineSettings(kernels=native), resolve("esr_max_x2")
    model = LoadedModel(other, load_weights(other), settings)
    assert model.backend == "torch-cpu"
    assert "does not have it" in str(model.fallback)
    with pytest.raises(EngineError, match=r"`esr compile --model NAME` .* adds it"):
        LoadedModel(other, load_weights(other), EngineSettings(kernels=native, backend="fused"))
    with pytest.raises(EngineError, match=r"no kernel for esr_tr_x2_k5_c2 at 16 bits: Halide is not .* that --depth"):
        LoadedModel(SPEC, load_weights(SPEC), settings).luma(16)
    library, weights = CompiledKernels(native, 1), random_weights(SPEC)
    assert library.plan(SPEC, weights, 8) is None
    assert (library.has_model(SPEC), library.has_model(other)) == (True, False)
    with pytest.raises(EngineError, match=r"Halide is not installed .* other weights; .*--model NAME=FILE"):
        LoadedModel(SPEC, weights, EngineSettings(kernels=native, backend="fused"))


@on_x86
def test_planes_of_another_type(native: Path) -> None:
    kernel = CompiledKernels(native, 1).plan(SPEC, load_weights(SPEC), 8)
    assert kernel is not None
    for plane in (np.zeros((4, 4), np.uint16), np.zeros((4, 8), np.uint8)[:, ::2]):
        with pytest.raises(EngineError, match="takes rows of uint8"):
            kernel(plane)


@on_x86
def test_a_failure_inside_the_library_is_an_error(native: Path) -> None:
    library = CompiledKernels(native, 1)
    entry = read_manifest(native).functions[0]
    with pytest.raises(EngineError, match=r"failed on a plane of \(4, 4\): .*extent"):
        library.call(entry.function, [np.zeros((4, 4), np.uint8)], [], 1, np.zeros((4, 3, 64), np.uint8))


@on_x86
def test_a_manifest_that_does_not_fit(native: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"has no kernels\.json"):
        CompiledKernels(tmp_path, 1)
    manifest = json.loads((native / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"abi": 0}))
    with pytest.raises(EngineError, match="compile the kernels again"):
        CompiledKernels(tmp_path, 1)
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"target": "arm-64-linux"}))
    (tmp_path / LIBRARY).write_bytes(b"\x7fELF of something else")
    with pytest.raises(EngineError, match="made for arm-64-linux"):
        CompiledKernels(tmp_path, 1)


def test_targets_and_compilers_that_are_not_there(tmp_path: Path) -> None:
    models = [(SPEC, load_weights(SPEC))]
    with pytest.raises(EngineError, match="choose one of arm-64-linux, x86-64-linux"):
        compile_library(models, (8,), "z80", tmp_path)
    with pytest.raises(EngineError, match="--cc names another"):
        compile_library(models, (8,), "arm-64-linux", tmp_path, "no-such-compiler")


@_needs(X86_GCC, QEMU_X86)
@pytest.mark.parametrize("processor", ["Nehalem", "max"], ids=["sse41", "avx2"])
def test_a_processor_is_given_no_instruction_it_lacks(native: Path, processor: str) -> None:
    # qemu 7.2 has no AVX-512, and ends the program at an instruction that the processor lacks.
    subprocess.run([X86_GCC, "-O1", "-o", str(native / "call"), str(HARNESS), "-ldl"], check=True)
    for entry in read_manifest(native).functions:
        if entry.model == SPEC.canonical_id:
            here = CompiledKernels(native, 1).plan(SPEC, load_weights(SPEC), entry.layout.depth)
            assert here is not None
            plane = _plane(entry.layout.depth)
            _nearly_equal(_run_elsewhere([QEMU_X86, "-cpu", processor], native, entry, plane), here(plane))


@_needs(ARM_GCC, QEMU_ARM)
def test_arm_gives_the_picture_of_x86(tmp_path: Path) -> None:
    models = [(resolve(name), load_weights(resolve(name))) for name in NAMES]
    compile_library(models, (8, 10), "arm-64-linux", tmp_path)
    subprocess.run([ARM_GCC, "-O1", "-o", str(tmp_path / "call"), str(HARNESS), "-ldl"], check=True)
    weights = {spec.canonical_id: tensors for spec, tensors in models}
    count = 0
    for entry in read_manifest(tmp_path).functions:
        if entry.model not in weights:
            continue
        plane = _plane(entry.layout.depth)
        actual = _run_elsewhere(ARM, tmp_path, entry, plane)
        here = fused.plan(resolve(entry.model), weights[entry.model], entry.layout.depth, 1)
        assert here is not None
        _nearly_equal(actual, here(plane))
        count += 1
    assert count == 2 * len(NAMES)


def _plane(depth: int) -> NDArray[np.generic]:
    picture = synthetic_luma(45, 71)
    return picture if depth == 8 else picture.astype(np.uint16) * 4 + 1


def _run_elsewhere(
    emulator: list[str], directory: Path, entry: CompiledFunction, plane: NDArray[np.generic]
) -> NDArray[np.generic]:
    """What a function of the library of `directory` makes of a plane on the processor that `emulator` is."""
    height, width = plane.shape
    rows, columns = entry.layout.shape(height, width)
    sizes = [plane.itemsize, entry.layout.scale, width, height, columns]
    command = [*emulator, str(directory / "call"), str(directory / LIBRARY), entry.function, *map(str, sizes)]
    result = subprocess.run(command, input=plane.tobytes(), capture_output=True, check=True)
    return entry.layout.crop(np.frombuffer(result.stdout, plane.dtype).reshape(rows, columns), width)


def _nearly_equal(actual: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    difference = np.abs(actual.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999
