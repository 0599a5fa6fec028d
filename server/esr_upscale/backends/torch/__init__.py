"""The torch reference: on the CPU strip by strip, on CUDA as it stands. torch is imported for the first kernel."""

from __future__ import annotations

import importlib.util

from esr_upscale.backends.backend import EngineSettings, Unsupported
from esr_upscale.backends.packed import PackedRgb
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import PlaneKernel, Weights

NO_TORCH = 'The torch backend needs torch, which is not installed: pip install "edge-sr[torch]"'


def is_torch_installed() -> bool:
    """Return whether torch can be imported. It takes seconds to import, so it is not imported to find out."""
    return importlib.util.find_spec("torch") is not None


def check_torch() -> None:
    """Raise EngineError if torch is not installed."""
    if not is_torch_installed():
        raise EngineError(NO_TORCH)


class Torch:
    """Kernels of torch modules, on the settings' device."""

    is_fused = False

    def name(self, settings: EngineSettings) -> str:
        return f"torch-{settings.device}"

    def obstacle(self, _spec: ModelSpec, _weights: Weights, _settings: EngineSettings) -> Unsupported | None:
        return None if is_torch_installed() else Unsupported(NO_TORCH)

    def kernel(
        self, spec: ModelSpec, weights: Weights, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        check_torch()
        from esr_upscale.backends.torch import kernel as torch_kernel

        return torch_kernel.plan(spec, weights, depth, device=settings.device, threads=settings.threads_of_frame)

    def chroma_kernel(
        self, scale: int, siting_x: Siting, siting_y: Siting, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        check_torch()
        from esr_upscale.backends.torch import kernel as torch_kernel

        return torch_kernel.plan_chroma(
            scale, siting_x, siting_y, depth, device=settings.device, threads=settings.threads_of_frame
        )

    def rgb_kernels(self, _scale: int, _depth: int, _settings: EngineSettings) -> PackedRgb | Unsupported:
        return Unsupported("torch has no kernels of packed RGB")
