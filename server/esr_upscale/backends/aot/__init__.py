"""Kernels that `esr compile` made, from the library that --kernels names: for devices that have no Halide."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from esr_upscale.backends.aot.library import CompiledKernels
from esr_upscale.backends.backend import EngineSettings, Unsupported
from esr_upscale.backends.fused import FUSED_NAME
from esr_upscale.backends.packed import PackedRgb
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import PlaneKernel, Weights

NO_LIBRARY = Unsupported("--kernels names no compiled ones")
NOT_IN_LIBRARY = Unsupported("the library of --kernels does not have it; `esr compile` with that --depth adds it")


@cache
def load(directory: Path, threads: int) -> CompiledKernels:
    """Load the library of `directory`, once. Raises EngineError where it cannot be used; as CompiledKernels."""
    return CompiledKernels(directory, threads)


class Aot:
    """Kernels compiled ahead of time."""

    is_fused = True

    def name(self, _settings: EngineSettings) -> str:
        return FUSED_NAME

    def obstacle(self, spec: ModelSpec, weights: Weights, settings: EngineSettings) -> Unsupported | None:
        library = _library(settings)
        if library is None:
            return NO_LIBRARY
        if library.plan(spec, weights, 8):
            return None
        has = "has this network with other weights" if library.has_model(spec) else "does not have it"
        return Unsupported(
            f"the library of --kernels {has}; `esr compile --model NAME` for a model of edge-sr, or --model NAME=FILE "
            "with the very file that is served, adds it"
        )

    def kernel(
        self, spec: ModelSpec, weights: Weights, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        library = _library(settings)
        if library is None:
            return NO_LIBRARY
        return library.plan(spec, weights, depth) or NOT_IN_LIBRARY

    def chroma_kernel(
        self, scale: int, siting_x: Siting, siting_y: Siting, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        library = _library(settings)
        if library is None:
            return NO_LIBRARY
        return library.plan_chroma(scale, siting_x, siting_y, depth) or NOT_IN_LIBRARY

    def rgb_kernels(self, scale: int, depth: int, settings: EngineSettings) -> PackedRgb | Unsupported:
        library = _library(settings)
        if library is None:
            return NO_LIBRARY
        return library.plan_rgb(scale, depth) or NOT_IN_LIBRARY


def _library(settings: EngineSettings) -> CompiledKernels | None:
    return load(settings.kernels, settings.threads_of_frame) if settings.kernels else None
