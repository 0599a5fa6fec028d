"""Frame → frame: luma through the model's kernel, chroma through bicubic, tags and time untouched."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from esr_media.formats import ColorModel, PixelFormat
from esr_upscale.backends.packed import PackedRgb
from esr_upscale.bt601 import LUMA_DEPTH, LUMA_WEIGHTS
from esr_upscale.components import Components, is_planar, pack, unpack
from esr_upscale.filters import Siting
from esr_upscale.frame import Frame, siting_of
from esr_upscale.models import Source
from esr_upscale.plane_kernel import PlaneAllocator, PlaneKernel, own_memory

PlaneData: TypeAlias = NDArray[Any]


class Kernels(Protocol):
    """The kernels of one model on one backend, for every depth and siting that a stream may need."""

    @property
    def has_nodes(self) -> bool:
        """Return whether there are weights for sources of known quality."""
        ...

    def node(self, source: Source | None) -> Source | None:
        """Return what the weights are for that a source gets; None: those for all sources."""
        ...

    def luma(self, depth: int, source: Source | None = None) -> PlaneKernel:
        """Return the model's kernel for planes of `depth` bits of such a source; None: nothing is known of it."""
        ...

    def chroma(self, depth: int, siting_x: Siting, siting_y: Siting) -> PlaneKernel:
        """Bicubic (Keys, a = −0.5) for chroma of this depth and siting."""
        ...

    def rgb(self, depth: int) -> PackedRgb | None:
        """Kernels of packed RGB of this depth; None where RGB is taken apart to component planes instead."""
        ...


@dataclass(frozen=True, slots=True)
class Upscaled:
    """An upscaled frame, the seconds its luma and chroma took, and for which source the weights were made."""

    frame: Frame
    luma_s: float
    chroma_s: float
    source: Source | None = None
    """None: weights for all sources."""


class Upscaler:
    """Upscales frames of any supported format by one model. Safe to call from several threads at once."""

    def __init__(self, scale: int, kernels: Kernels) -> None:
        self.scale = scale
        self._kernels = kernels

    @property
    def has_nodes(self) -> bool:
        """Return whether the model has weights for sources of known quality."""
        return self._kernels.has_nodes

    def __call__(
        self, frame: Frame, memory: PlaneAllocator = own_memory, concurrency: int = 1, source: Source | None = None
    ) -> Upscaled:
        """Upscale a progressive frame; the result has the same format, colour, time, SAR and rotation.

        `memory` is asked for that of the result's planes, one after the other, where kernels can write them in place.
        The frame is one of `concurrency` frames that share the engine's threads. `source` is what is known of where it
        came from, None if nothing is.

        Laying components out again (RGB, nv12) counts as chroma: it is what colour costs beyond luma.
        """
        rgb = self._kernels.rgb(frame.format.depth) if frame.format.model is ColorModel.RGB else None
        if rgb:
            return self._upscale_rgb(rgb, frame, memory, concurrency, source)
        started = time.perf_counter()
        parts = unpack(frame)
        # Planes of other layouts are not those that kernels write.
        plane_memory = memory if is_planar(frame.format) else own_memory
        unpacked = time.perf_counter()
        luma = self._kernels.luma(parts.depth, source)(parts.luma, plane_memory, concurrency)
        after_luma = time.perf_counter()
        siting = siting_of(frame.format, frame.color.chroma_location)
        chroma = tuple(
            self._kernels.chroma(parts.depth, *siting)(plane, plane_memory, concurrency) for plane in parts.chroma
        )
        # Cut chroma to the ceiling shift of the output's luma size: s·⌈w/2⌉ can be one or more too many.
        layout = frame.format.planes[-1]
        rows = -(-frame.height * self.scale >> layout.shift_y)
        columns = -(-frame.width * self.scale >> layout.shift_x)
        chroma = tuple(plane[:rows, :columns] for plane in chroma)
        planes = pack(frame.format, Components(parts.depth, luma, chroma), memory)
        finished = time.perf_counter()
        return self._result(frame, planes, source, after_luma - unpacked, finished - after_luma + unpacked - started)

    def _upscale_rgb(
        self, rgb: PackedRgb, frame: Frame, memory: PlaneAllocator, concurrency: int, source: Source | None
    ) -> Upscaled:
        """Upscale packed RGB without planes of chroma."""
        pixels, weight = frame.planes[0], LUMA_WEIGHTS[frame.format.planes[0].components[0]]
        kernel = self._kernels.luma(LUMA_DEPTH, source)
        started = time.perf_counter()
        luma = rgb.luma(pixels, weight, concurrency)
        unpacked = time.perf_counter()
        upscaled = kernel(luma, own_memory, concurrency)
        after_luma = time.perf_counter()
        planes = (rgb.color(pixels, upscaled, weight, memory, concurrency),)
        finished = time.perf_counter()
        return self._result(frame, planes, source, after_luma - unpacked, finished - after_luma + unpacked - started)

    def _result(
        self, frame: Frame, planes: tuple[PlaneData, ...], source: Source | None, luma_s: float, chroma_s: float
    ) -> Upscaled:
        width, height = frame.width * self.scale, frame.height * self.scale
        enlarged = dataclasses.replace(frame, width=width, height=height, planes=planes)
        return Upscaled(enlarged, luma_s, chroma_s, self._kernels.node(source))

    def warm_up(self, fmt: PixelFormat) -> None:
        """Upscale one small frame of a format, so that no frame of a stream waits for a kernel to be made."""
        shapes = (fmt.plane_shape(i, 64, 64) for i in range(len(fmt.planes)))
        self(Frame(fmt, 64, 64, tuple(np.zeros(shape, fmt.dtype) for shape in shapes)))
