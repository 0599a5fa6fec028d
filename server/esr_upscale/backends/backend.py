"""The interface of a backend, and the settings that say which one may run a model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from esr_upscale.backends.packed import PackedRgb
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import PlaneKernel, Weights

BACKEND_NAMES = ("auto", "fused", "torch")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What runs the models."""

    backend: str = "auto"
    """`fused`: only fused CPU kernels; `torch`: only the reference; `auto`: fused on the CPU where there is one."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    threads: int = 0
    """Threads of one frame; 0 is one for each processor."""
    kernels: Path | None = None
    """Directory of kernels that `esr compile` made; what is not in it is compiled here, if Halide is installed."""

    def __post_init__(self) -> None:
        for value, allowed in ((self.backend, BACKEND_NAMES), (self.device, DEVICES)):
            if value not in allowed:
                raise EngineError(f"unknown backend or device {value!r}; choose one of {', '.join(allowed)}")
        if self.threads < 0:
            raise EngineError(f"threads must be 0 (all processors) or more, not {self.threads}")

    @property
    def threads_of_frame(self) -> int:
        """Threads of one frame, with 0 made a number."""
        return self.threads or os.cpu_count() or 1

    @property
    def fuses(self) -> bool:
        """Return whether fused kernels may be used."""
        return self.backend != "torch" and self.device == "cpu"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A backend's answer when it has no kernel."""

    reason: str
    """A clause without a full stop and without paths, as a client may read it."""


class Backend(Protocol):
    """One way to run models. It imports its library when it is first needed, and never when it is only listed."""

    is_fused: bool
    """Whether its kernels are fused kernels for the CPU."""

    def name(self, settings: EngineSettings) -> str:
        """Return what `PlaneKernel.backend` of its kernels is."""
        ...

    def obstacle(self, spec: ModelSpec, weights: Weights, settings: EngineSettings) -> Unsupported | None:
        """Return why it cannot run a model; None if it can. Nothing is compiled to find out."""
        ...

    def kernel(
        self, spec: ModelSpec, weights: Weights, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        """Return the kernel of a model for planes of `depth` bits: uint8 up to 8, uint16 from 9 to 16.

        Raises:
            WeightsError: `weights` are not of this model.
            EngineError: the device is not there, or the directory of kernels cannot be used.
        """
        ...

    def chroma_kernel(
        self, scale: int, siting_x: Siting, siting_y: Siting, depth: int, settings: EngineSettings
    ) -> PlaneKernel | Unsupported:
        """Return bicubic (Keys, a = −0.5) for a chroma plane sited as given on each axis; as `kernel` otherwise."""
        ...

    def rgb_kernels(self, scale: int, depth: int, settings: EngineSettings) -> PackedRgb | Unsupported:
        """Return the kernels of packed RGB; as `kernel` otherwise."""
        ...
