"""Fused kernels: a pass over the picture is the whole network for a few pixels, then for the next few.

Halide makes machine code of them when a model is loaded. It is imported only then.
"""

from __future__ import annotations

import importlib.util

from esr_upscale.backends.backend import EngineSettings, Unsupported
from esr_upscale.backends.fused import FUSED_NAME
from esr_upscale.backends.packed import PackedRgb
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import PlaneKernel, Weights

NO_HALIDE = Unsupported('Halide is not installed (pip install "edge-sr[server]")')


def is_halide_installed() -> bool:
    """Return whether this machine can compile fused kernels."""
    return importlib.util.find_spec("halide") is not None


class Halide:
    """Kernels compiled here for this processor, in about a second, when they are first asked for."""

    is_fused = True

    def name(self, _settings: EngineSettings) -> str:
        return FUSED_NAME

    def obstacle(self, spec: ModelSpec, _weights: Weights, _settings: EngineSettings) -> Unsupported | None:
        if not is_halide_installed():
            return NO_HALIDE
        from esr_upscale.backends.halide.registry import halide_families

        has_kernel = spec.family in halide_families()
        return None if has_kernel else Unsupported(f"{spec.family_spec.paper_name} has no fused kernel")

    def kernel(
        self, spec: ModelSpec, weights: Weights, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        obstacle = self.obstacle(spec, weights, settings)
        if obstacle is not None:
            return obstacle
        from esr_upscale.backends.halide import kernel as fused

        return fused.plan(spec, weights, depth, settings.threads_of_frame)

    def chroma_kernel(
        self, scale: int, siting_x: Siting, siting_y: Siting, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        if not is_halide_installed():
            return NO_HALIDE
        from esr_upscale.backends.halide import kernel as fused

        return fused.plan_chroma(scale, siting_x, siting_y, depth, settings.threads_of_frame)

    def rgb_kernels(self, scale: int, depth: int, settings: EngineSettings) -> PackedRgb | Unsupported:
        if not is_halide_installed():
            return NO_HALIDE
        from esr_upscale.backends.halide import kernel as fused

        return fused.plan_rgb(scale, depth, settings.threads_of_frame)
