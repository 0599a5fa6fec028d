"""Opening a model on this machine: which kernels run it, kept for as long as the model is loaded.

Every `plan` may say that it cannot serve a model, and the next one is asked: the fused kernels of `kernels/` first,
then the torch reference of `nets/`. torch is imported only when it is the one that runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from esr_upscale import kernels
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.frame import pixel_format
from esr_upscale.kernels import PlaneKernel, Weights
from esr_upscale.models import ModelSpec
from esr_upscale.upscaler import Upscaler

ENGINES = ("auto", "fused", "torch")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What runs the models."""

    engine: str = "auto"
    """`fused`: only fused CPU kernels; `torch`: only the reference; `auto`: fused on the CPU where there is one."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    threads: int = 0
    """Threads of one frame; 0 is one for each processor."""

    def __post_init__(self) -> None:
        for value, allowed in ((self.engine, ENGINES), (self.device, DEVICES)):
            if value not in allowed:
                raise EngineError(f"no engine or device is named {value!r}; there are {', '.join(allowed)}")
        if self.threads < 0:
            raise EngineError(f"threads is 0 (all processors) or more, not {self.threads}")

    @property
    def threads_of_frame(self) -> int:
        """Threads of one frame, with 0 made a number."""
        return self.threads or os.cpu_count() or 1


class LoadedModel:
    """One model with its kernels. Kernels are made at their first use, once, and kept. Safe to use from any thread."""

    def __init__(self, spec: ModelSpec, weights: Weights, settings: EngineSettings) -> None:
        self.spec = spec
        self._weights = weights
        self._settings = settings
        self._kernels: dict[Hashable, PlaneKernel] = {}
        self._lock = threading.Lock()
        self.upscaler = Upscaler(spec.scale, self)
        self.engine = self.luma(8).engine

    def luma(self, depth: int) -> PlaneKernel:
        """The model's kernel for planes of `depth` bits.

        Raises:
            EngineError: no engine that the settings allow can run the model.
        """
        return self._once(depth, lambda: self._plan(depth))

    def chroma(self, depth: int, siting_x: Siting, siting_y: Siting) -> PlaneKernel:
        """Bicubic for chroma planes of `depth` bits with a siting on each axis."""
        return self._once((depth, siting_x, siting_y), lambda: self._plan_chroma(depth, siting_x, siting_y))

    def warm_up(self) -> None:
        """Make and run the kernels of the commonest formats, so that no stream pays for their first run."""
        for name in ("yuv420p", "yuv420p10le"):
            self.upscaler.warm_up(pixel_format(name))

    def _once(self, key: Hashable, make: Callable[[], PlaneKernel]) -> PlaneKernel:
        if key not in self._kernels:
            with self._lock:
                if key not in self._kernels:
                    self._kernels[key] = make()
        return self._kernels[key]

    def _plan(self, depth: int) -> PlaneKernel:
        settings = self._settings
        if settings.engine != "torch" and settings.device == "cpu":
            fused = kernels.plan(self.spec, self._weights, depth, settings.threads_of_frame)
            if fused is not None:
                return fused
            if settings.engine == "fused":
                raise EngineError(f"{self.spec.canonical_id} has no fused kernel; start with --engine auto or torch")
        from esr_upscale import nets  # torch takes seconds to import: only when it runs

        return nets.plan(self.spec, self._weights, depth, device=settings.device, threads=settings.threads_of_frame)

    def _plan_chroma(self, depth: int, siting_x: Siting, siting_y: Siting) -> PlaneKernel:
        from esr_upscale import nets

        return nets.chroma_kernel(self.spec.scale, siting_x, siting_y, depth, device=self._settings.device)
