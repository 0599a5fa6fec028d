"""The backends that run models, in the order in which they are asked, and the choice between them.

Kernels compiled ahead come first, then those compiled here, then torch. Neither Halide nor torch is imported before it
is the one that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from esr_upscale.backends import aot, halide
from esr_upscale.backends.aot import Aot
from esr_upscale.backends.backend import BACKEND_NAMES, DEVICES, Backend, EngineSettings, Unsupported
from esr_upscale.backends.halide import Halide
from esr_upscale.backends.packed import PackedRgb
from esr_upscale.backends.torch import Torch, check_torch
from esr_upscale.errors import EngineError
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights

__all__ = [
    "BACKENDS",
    "BACKEND_NAMES",
    "DEVICES",
    "Backend",
    "Choice",
    "EngineSettings",
    "PackedRgb",
    "Unsupported",
    "backend_name",
    "check_installed",
    "choose_backends",
    "first_kernel",
    "serves_nodes",
]

BACKENDS: tuple[Backend, ...] = (Aot(), Halide(), Torch())
FUSED = tuple(backend for backend in BACKENDS if backend.is_fused)
UNFUSED = tuple(backend for backend in BACKENDS if not backend.is_fused)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """The backends that run a model, asked in turn for each kernel."""

    backends: tuple[Backend, ...]
    fallback: str | None
    """Why no fused kernel runs it where one is allowed; None otherwise."""


def choose_backends(spec: ModelSpec, weights: Weights, settings: EngineSettings) -> Choice:
    """Return what can run a model under these settings; nothing is compiled to find out.

    It is decided once for all of the model's kernels: a stream never changes from fused kernels to torch.
    """
    if not settings.fuses:
        return Choice(UNFUSED, None)
    obstacles = [backend.obstacle(spec, weights, settings) for backend in FUSED]
    reasons = [obstacle for obstacle in obstacles if obstacle is not None]
    if len(reasons) < len(FUSED):
        return Choice(FUSED, None)
    return Choice(UNFUSED, _join_reasons(reasons))


def first_kernel(backends: Iterable[Backend], ask: Callable[[Backend], T | Unsupported], what: str) -> T:
    """Return what the first of `backends` answers that has a kernel for `what`.

    Raises:
        EngineError: none has; the message tells the reason of each.
    """
    reasons = []
    for backend in backends:
        answer = ask(backend)
        if not isinstance(answer, Unsupported):
            return answer
        reasons.append(answer)
    raise EngineError(f"there is no kernel for {what}: {_join_reasons(reasons)}")


def _join_reasons(reasons: list[Unsupported]) -> str:
    # From the last backend asked to the first: installing it is the remedy that helps every model.
    return " and ".join(unsupported.reason for unsupported in reversed(reasons))


def check_installed(settings: EngineSettings) -> None:
    """Find out, importing and compiling nothing, whether what the settings name is there.

    Raises:
        EngineError: torch is not installed, or the directory of kernels cannot be used.
    """
    if settings.kernels is not None:
        aot.load(settings.kernels, settings.threads_of_frame)
    if not settings.fuses:
        check_torch()


def backend_name(spec: ModelSpec, weights: Weights, settings: EngineSettings) -> str:
    """Return what `LoadedModel.backend` would be, without loading the model; nothing is compiled to find out."""
    return choose_backends(spec, weights, settings).backends[0].name(settings)


def serves_nodes(settings: EngineSettings) -> bool:
    """Return whether nodes are used: libraries compiled ahead have the weights for all sources only."""
    return not settings.fuses or halide.is_halide_installed()
