"""Opening a model on this machine: which kernels run it, kept for as long as the model is loaded.

Every `plan` may say that it cannot serve a model, and the next one is asked: the fused kernels of `kernels/` first,
then the torch reference of `nets/`. torch is imported only when it is the one that runs.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from esr_upscale import kernels
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.frame import ColorModel, pixel_format
from esr_upscale.kernels import PackedRgb
from esr_upscale.models import ModelSpec, Source, WeightNodes
from esr_upscale.plane_kernel import PlaneKernel, Weights
from esr_upscale.upscaler import Upscaler

BACKENDS = ("auto", "fused", "torch")
DEVICES = ("cpu", "cuda")

NO_TORCH = 'The torch backend needs torch, which is not installed: pip install "edge-sr[torch]"'

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)


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
        for value, allowed in ((self.backend, BACKENDS), (self.device, DEVICES)):
            if value not in allowed:
                raise EngineError(f"no backend or device is named {value!r}; there are {', '.join(allowed)}")
        if self.threads < 0:
            raise EngineError(f"threads is 0 (all processors) or more, not {self.threads}")

    @property
    def threads_of_frame(self) -> int:
        """Threads of one frame, with 0 made a number."""
        return self.threads or os.cpu_count() or 1

    @property
    def fuses(self) -> bool:
        """Return whether fused kernels may be used."""
        return self.backend != "torch" and self.device == "cpu"


def check_installed(settings: EngineSettings) -> None:
    """Find out, importing and compiling nothing, whether what the settings name is there.

    Raises:
        EngineError: torch is not installed, or the directory of kernels cannot be used.
    """
    if settings.kernels is not None:
        kernels.load(settings.kernels, settings.threads_of_frame)
    if not settings.fuses:
        _check_torch()


def backend_name(spec: ModelSpec, weights: Weights, settings: EngineSettings) -> str:
    """Return what `LoadedModel.backend` would be, without loading the model; nothing is compiled to find out."""
    return "fused" if settings.fuses and _obstacle(spec, weights, settings) is None else f"torch-{settings.device}"


def serves_nodes(settings: EngineSettings) -> bool:
    """Return whether nodes are used: libraries compiled ahead have the weights for all sources only."""
    return not settings.fuses or kernels.available()


def _obstacle(spec: ModelSpec, weights: Weights, settings: EngineSettings) -> str | None:
    """Return why no fused kernel can run a model here; None if one can."""
    compiled = settings.kernels and kernels.load(settings.kernels, settings.threads_of_frame)
    if kernels.serves(spec) or (compiled and compiled.plan(spec, weights, 8)):
        return None
    if kernels.available():
        return f"{spec.family_spec.paper_name} has no fused kernel"
    if compiled:
        # Without paths: a client may read this.
        has = "has this network with other weights" if compiled.has_model(spec) else "does not have it"
        return (
            f"the library of --kernels {has} and Halide is not installed; `esr compile --model NAME` for a model of "
            "edge-sr, or --model NAME=FILE with the very file that is served, adds it"
        )
    return 'Halide is not installed (pip install "edge-sr[server]") and --kernels names no compiled ones'


class LoadedModel:
    """One model with its kernels. Kernels are made at their first use, once, and kept. Safe to use from any thread."""

    def __init__(
        self,
        spec: ModelSpec,
        weights: Weights,
        settings: EngineSettings,
        name: str = "",
        nodes: WeightNodes | None = None,
    ) -> None:
        """Plan the model's kernels. `name` is what it is served as; empty is its canonical id. `nodes` are weights for
        sources of known quality, in addition to those for all.
        """
        self.spec = spec
        self.name = name or spec.canonical_id
        self._weights = weights
        self._nodes = nodes if serves_nodes(settings) else None
        self._settings = settings
        self.fallback = _obstacle(spec, weights, settings) if settings.fuses else None
        """Why the model runs on torch where fused kernels are allowed; None where it does not."""
        self._kernels: dict[Hashable, PlaneKernel] = {}
        self._rgb: dict[int, PackedRgb | None] = {}
        self._warm: set[str] = set()
        self._lock = threading.Lock()
        self.upscaler = Upscaler(spec.scale, self)
        self.backend = self.luma(8).backend

    @property
    def has_nodes(self) -> bool:
        """Return whether it has weights for sources of known quality."""
        return self._nodes is not None

    def node(self, source: Source | None) -> Source | None:
        """Return what the weights are for that a source is upscaled with; None: those for all sources."""
        return None if source is None or self._nodes is None else self._nodes.node(source)

    def luma(self, depth: int, source: Source | None = None) -> PlaneKernel:
        """Return the model's kernel for planes of `depth` bits, for such a source; None: nothing is known of it.

        Raises:
            EngineError: no backend that the settings allow can run the model.
        """
        node = self.node(source)
        return _once(self._kernels, (depth, node), self._lock, lambda: self._plan(depth, node))

    def chroma(self, depth: int, siting_x: Siting, siting_y: Siting) -> PlaneKernel:
        """Bicubic for chroma planes of `depth` bits with a siting on each axis. Raises EngineError as `luma`."""
        key = depth, siting_x, siting_y
        return _once(self._kernels, key, self._lock, lambda: self._plan_chroma(depth, siting_x, siting_y))

    def rgb(self, depth: int) -> PackedRgb | None:
        """Fused kernels for packed RGB of `depth` bits; None where this backend has none."""
        return _once(self._rgb, depth, self._lock, lambda: self._plan_rgb(depth))

    def warm_up(self, *names: str) -> None:
        """Make and run the kernels of pixel formats, by default the commonest: no stream pays for their first run."""
        for name in names or ("yuv420p", "yuv420p10le"):
            fmt = pixel_format(name)
            Upscaler(self.spec.scale, self).warm_up(fmt)
            if self._nodes is not None and fmt.model is not ColorModel.RGB:
                self.luma(fmt.depth, next(iter(self._nodes.sets)))  # the others share its code
            self._warm.add(name)

    def is_warm(self, name: str) -> bool:
        """Return whether `warm_up` was called for a pixel format."""
        return name in self._warm

    def _plan(self, depth: int, node: Source | None) -> PlaneKernel:
        settings = self._settings
        weights = self._weights if node is None or self._nodes is None else self._nodes.at(node)
        if not settings.fuses:
            return self._torch(weights, depth)
        if self.fallback is None:
            compiled = self._compiled()
            kernel: PlaneKernel | None = compiled.plan(self.spec, weights, depth) if compiled else None
            kernel = kernel or kernels.plan(self.spec, weights, depth, settings.threads_of_frame)
            return _require(kernel, f"{self.name} at {depth} bits")
        if settings.backend == "fused":
            raise EngineError(f"{self.name} has no fused kernel here: {self.fallback}")
        if importlib.util.find_spec("torch") is None:
            raise EngineError(f"{self.name} has no fused kernel here: {self.fallback}. {NO_TORCH}")
        return self._torch(weights, depth)

    def _plan_chroma(self, depth: int, siting_x: Siting, siting_y: Siting) -> PlaneKernel:
        settings, scale = self._settings, self.spec.scale
        if self.backend != "fused":
            torch_kernel: PlaneKernel = _import_nets().chroma_kernel(
                scale, siting_x, siting_y, depth, device=settings.device
            )
            return torch_kernel
        compiled = self._compiled()
        kernel: PlaneKernel | None = compiled.plan_chroma(scale, siting_x, siting_y, depth) if compiled else None
        kernel = kernel or kernels.plan_chroma(scale, siting_x, siting_y, depth, settings.threads_of_frame)
        return _require(kernel, f"chroma at ×{scale}, {depth} bits")

    def _plan_rgb(self, depth: int) -> PackedRgb | None:
        if self.backend != "fused":
            return None
        compiled, scale = self._compiled(), self.spec.scale
        packed_rgb = compiled.plan_rgb(scale, depth) if compiled else None
        return packed_rgb or kernels.plan_rgb(scale, depth, self._settings.threads_of_frame)

    def _compiled(self) -> kernels.CompiledKernels | None:
        directory = self._settings.kernels
        return kernels.load(directory, self._settings.threads_of_frame) if directory else None

    def _torch(self, weights: Weights, depth: int) -> PlaneKernel:
        settings = self._settings
        threads = settings.threads_of_frame
        kernel: PlaneKernel = _import_nets().plan(self.spec, weights, depth, device=settings.device, threads=threads)
        return kernel


def _once(results: dict[Key, T], key: Key, lock: threading.Lock, make: Callable[[], T]) -> T:
    if key not in results:
        with lock:
            if key not in results:
                results[key] = make()
    return results[key]


def _require(kernel: PlaneKernel | None, what: str) -> PlaneKernel:
    if kernel is None:
        raise EngineError(
            f"there is no compiled kernel for {what}, nor is Halide installed; `esr compile` with that --depth makes it"
        )
    return kernel


def _check_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise EngineError(NO_TORCH)


def _import_nets() -> ModuleType:
    # torch takes seconds to import, and a server on fused kernels need not have it.
    _check_torch()
    return importlib.import_module("esr_upscale.nets")
