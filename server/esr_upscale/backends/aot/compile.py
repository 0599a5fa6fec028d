"""Kernels compiled ahead of time into one shared library, for this processor or for another one.

Halide makes object files, the target's C compiler links them. A library for x86-64 has each kernel several times and
takes, when called, the one that the processor has the instructions for.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import halide as hl

from esr_upscale.backends.aot.manifest import (
    ABI,
    LIBRARY,
    CompiledFunction,
    Manifest,
    chroma_name,
    rgb_luma_name,
    rgb_name,
)
from esr_upscale.backends.halide import bicubic, rgb
from esr_upscale.backends.halide.pipeline import Job, Pipeline, SampleFormat, Vectors
from esr_upscale.backends.halide.registry import halide_families
from esr_upscale.bt601 import LUMA_DEPTH
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights, digest

_AVX2 = "sse41-avx-avx2-f16c-fma"


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of device."""

    variants: tuple[str, ...]
    """Halide's targets, the most demanding first."""
    compiler: str
    """The C compiler that links for it, in Debian's cross compilers' name."""


TARGETS = {
    "arm-64-linux": Target(("arm-64-linux",), "aarch64-linux-gnu-gcc"),
    "x86-64-linux": Target(
        (f"x86-64-linux-{_AVX2}-avx512-avx512_skylake", f"x86-64-linux-{_AVX2}", "x86-64-linux-sse41"),
        "x86_64-linux-gnu-gcc",
    ),
}
SITED = tuple(product((Siting.COSITED, Siting.CENTRED), (Siting.CENTRED, Siting.COSITED, Siting.COSITED_LAST)))
"""Sitings (x, y) that pixel formats have."""
RGB_DEPTHS = (8, 16)
"""Depths of packed RGB that pixel formats have."""


def compile_library(
    models: Iterable[tuple[ModelSpec, Weights]],
    depths: Iterable[int],
    target: str,
    directory: Path,
    compiler: str | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Compile models, and the bicubic of their chroma, to a library and its manifest in `directory`.

    If `depths` has 16, the kernels of packed RGB of 8 and 16 bits are in it too.

    `report` is told the name of every function before it is compiled. `compiler` replaces the target's own.

    Raises:
        EngineError: the target is not known, a family has no kernel, or there is no compiler to link with.
    """
    if target not in TARGETS:
        raise EngineError(f"unknown target {target!r}; choose one of {', '.join(TARGETS)}")
    kind = TARGETS[target]
    compiler = compiler or kind.compiler
    linker = shutil.which(compiler)
    if linker is None:
        raise EngineError(f"linking for {target} needs {compiler}, which is not installed; --cc names another")
    directory.mkdir(parents=True, exist_ok=True)
    # Models that come up again with the same weights are left out.
    unique = {(spec, digest(weights)): (spec, weights) for spec, weights in models}
    # One schedule serves all variants of a target: on x86-64 the one for AVX2, which most processors have.
    vectors = Vectors.of(hl.Target(kind.variants[min(1, len(kind.variants) - 1)]))
    functions = []
    with tempfile.TemporaryDirectory() as objects:
        for entry, pipeline in _pipelines(list(unique.values()), tuple(depths), vectors):
            report(entry.function)
            _compile(pipeline, Path(objects) / entry.function, kind)
            functions.append(entry)
        hl.compile_standalone_runtime(f"{objects}/runtime.o", hl.Target(kind.variants[-1]))
        _link(linker, sorted(Path(objects).glob("*.o")), directory / LIBRARY)
    Manifest(target, ABI, tuple(functions)).write(directory)
    return directory / LIBRARY


def _pipelines(
    models: list[tuple[ModelSpec, Weights]], depths: tuple[int, ...], vectors: Vectors
) -> Iterator[tuple[CompiledFunction, Pipeline]]:
    for (spec, weights), depth in product(models, depths):
        if spec.family not in halide_families():
            raise EngineError(f"{spec.canonical_id} has no fused kernel")
        # A library may have a network with several weights.
        job = _job(f"{spec.canonical_id}_{digest(weights)[:8]}", depth, vectors)
        yield _with_entry(spec.canonical_id, weights, halide_families()[spec.family].build(spec, weights, job))
    scales = sorted({spec.scale for spec, _ in models})
    # No format has planes of chroma at the depth that RGB is worked on.
    for scale, depth, siting in product(scales, (depth for depth in depths if depth != LUMA_DEPTH), SITED):
        name = chroma_name(scale, *siting)
        yield _with_entry(name, {}, bicubic.build(scale, *siting, _job(name, depth, vectors)))
    if LUMA_DEPTH in depths:
        for depth in RGB_DEPTHS:
            name = rgb_luma_name(depth)
            yield _with_entry(name, {}, rgb.build_luma(_job(name, depth, vectors)))
            for name, scale in ((rgb_name(scale), scale) for scale in scales):
                yield _with_entry(name, {}, rgb.build_color(scale, _job(name, depth, vectors)))


def _job(model: str, depth: int, vectors: Vectors) -> Job:
    return Job(SampleFormat(depth), vectors, name=f"{model}_{depth}bit")


def _with_entry(model: str, weights: Weights, pipeline: Pipeline) -> tuple[CompiledFunction, Pipeline]:
    entry = CompiledFunction(
        function=pipeline.out.name().replace("$", "_"),  # as Halide writes it when the name was taken before
        model=model,
        weights=digest(weights),
        layout=pipeline.layout,
    )
    return entry, pipeline


def _compile(pipeline: Pipeline, path: Path, kind: Target) -> None:
    targets = [hl.Target(f"{variant}-no_runtime") for variant in kind.variants]
    # The function has the name of the file.
    inputs = [*pipeline.planes, *pipeline.scalars, pipeline.tasks]
    if len(targets) == 1:
        pipeline.out.compile_to_object(f"{path}.o", inputs, path.name, targets[0])
        return
    suffixes = [f"_{i}" for i in range(len(targets))]
    hl.Pipeline(pipeline.out).compile_to_multitarget_object_files(str(path), inputs, targets, suffixes)


def _link(compiler: str, objects: list[Path], library: Path) -> None:
    command = [compiler, "-shared", "-o", str(library), *map(str, objects), "-lpthread", "-ldl", "-lm"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise EngineError(f"{compiler} could not link the kernels: {process.stderr.strip()}")
