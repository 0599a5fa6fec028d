"""A model opened on this machine: the kernels that run it, kept for as long as it is loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from esr_media.formats import ColorModel
from esr_upscale.backends import (
    BACKEND_NAMES,
    DEVICES,
    EngineSettings,
    PackedRgb,
    Unsupported,
    backend_name,
    check_installed,
    choose_backends,
    first_kernel,
    serves_nodes,
)
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.frame import pixel_format
from esr_upscale.models import ModelSpec, Source, WeightNodes
from esr_upscale.plane_kernel import PlaneKernel, Weights
from esr_upscale.upscaler import Upscaler

__all__ = [
    "BACKEND_NAMES",
    "DEVICES",
    "EngineSettings",
    "LoadedModel",
    "backend_name",
    "check_installed",
    "serves_nodes",
]

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)


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
        choice = choose_backends(spec, weights, settings)
        self._backends = choice.backends
        self.fallback = choice.fallback
        """Why the model runs on torch where fused kernels are allowed; None where it does not."""
        if self.fallback is not None:
            if settings.backend == "fused":
                raise EngineError(f"{self.name} has no fused kernel here: {self.fallback}")
            for obstacle in (backend.obstacle(spec, weights, settings) for backend in self._backends):
                if obstacle is not None:
                    raise EngineError(f"{self.name} has no fused kernel here: {self.fallback}. {obstacle.reason}")
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
        weights = self._weights if node is None or self._nodes is None else self._nodes.at(node)
        return first_kernel(
            self._backends,
            lambda backend: backend.kernel(self.spec, weights, depth, self._settings),
            f"{self.name} at {depth} bits",
        )

    def _plan_chroma(self, depth: int, siting_x: Siting, siting_y: Siting) -> PlaneKernel:
        scale = self.spec.scale
        return first_kernel(
            self._backends,
            lambda backend: backend.chroma_kernel(scale, siting_x, siting_y, depth, self._settings),
            f"chroma at ×{scale}, {depth} bits",
        )

    def _plan_rgb(self, depth: int) -> PackedRgb | None:
        answers = (backend.rgb_kernels(self.spec.scale, depth, self._settings) for backend in self._backends)
        return next((answer for answer in answers if not isinstance(answer, Unsupported)), None)


def _once(results: dict[Key, T], key: Key, lock: threading.Lock, make: Callable[[], T]) -> T:
    if key not in results:
        with lock:
            if key not in results:
                results[key] = make()
    return results[key]
