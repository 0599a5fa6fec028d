"""Fused CPU kernels on planes.

A kernel is one pass over the picture: the whole network for a few pixels, then for the next few. Halide makes machine
code of it when a model is loaded. Halide is imported only then, and where it is not installed there are no kernels.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from esr_upscale.filters import Siting
from esr_upscale.kernels.compiled import CompiledKernels
from esr_upscale.kernels.packed import PackedRgb
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import PlaneKernel, Weights

__all__ = [
    "CompiledKernels",
    "PackedRgb",
    "available",
    "load",
    "plan",
    "plan_chroma",
    "plan_rgb",
    "serves",
]


def available() -> bool:
    """Return whether this machine can compile fused kernels: whether Halide is installed."""
    return importlib.util.find_spec("halide") is not None


def serves(spec: ModelSpec) -> bool:
    """Return whether this machine can compile a kernel for this model; nothing is compiled to find out."""
    if not available():
        return False
    from esr_upscale.kernels.family import halide_families

    return spec.family in halide_families()


@cache
def load(directory: Path, threads: int) -> CompiledKernels:
    """The library of `directory`, loaded once. Raises EngineError where it cannot be used; as CompiledKernels."""
    return CompiledKernels(directory, threads)


def plan(spec: ModelSpec, weights: Weights, pixel_depth: int, threads: int) -> PlaneKernel | None:
    """The fused kernel of a model: uint8 planes at a depth of 8 bits, uint16 from 9 to 16. None where there is none.

    It is compiled here, in about a second, and runs on `threads` threads of this processor. Raises WeightsError when
    `weights` are not of this model.
    """
    if not available():
        return None
    from esr_upscale.kernels import fused

    return fused.plan(spec, weights, pixel_depth, threads)


def plan_chroma(scale: int, siting_x: Siting, siting_y: Siting, pixel_depth: int, threads: int) -> PlaneKernel | None:
    """Bicubic (Keys, a = −0.5) for a chroma plane whose samples sit as given on each axis. As `plan` otherwise."""
    if not available():
        return None
    from esr_upscale.kernels import fused

    return fused.plan_chroma(scale, siting_x, siting_y, pixel_depth, threads)


def plan_rgb(scale: int, pixel_depth: int, threads: int) -> PackedRgb | None:
    """Return the fused kernels of packed RGB, compiled here in 1 to 2 seconds; None where Halide is not installed."""
    if not available():
        return None
    from esr_upscale.kernels import fused

    return fused.plan_rgb(scale, pixel_depth, threads)
