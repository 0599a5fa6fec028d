"""Fused kernels, wherever they were compiled: memory for the result, native code at work, the picture cut out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.layout import Layout, sample_type
from esr_upscale.errors import EngineError
from esr_upscale.plane_kernel import PlaneAllocator, own_memory

FUSED_NAME = "fused"


class NativeCode(Protocol):
    """Machine code that fills the rows of one plane from one or more. Safe to call from several threads at once."""

    @property
    def layout(self) -> Layout:
        """Return how the result lies in memory."""
        ...

    def fill(
        self, rows: NDArray[Any], planes: Sequence[NDArray[Any]], scalars: Sequence[float], concurrency: int
    ) -> None:
        """Write the result of `planes` and `scalars` to `rows`, (H, s, padded width), which are `Layout.rows`.

        It is one of `concurrency` calls that share the threads. Raises EngineError if the code gives up, for example
        for want of memory.
        """
        ...


class FusedKernel:
    """Native code as a PlaneFunction, and as a PlaneKernel if it reads one plane."""

    backend = FUSED_NAME

    def __init__(self, code: NativeCode) -> None:
        self.code = code
        self._dtype = np.dtype(sample_type(code.layout.depth))

    def __call__(self, plane: NDArray[Any], memory: PlaneAllocator = own_memory, concurrency: int = 1) -> NDArray[Any]:
        """Upscale a plane; rows of the result are padded.

        Raises:
            EngineError: the plane is not of the kernel's type, or the code gives up.
        """
        if plane.dtype != self._dtype or plane.strides[1] != plane.itemsize:
            raise EngineError(f"the kernel takes rows of {self._dtype}, not {plane.dtype} with strides {plane.strides}")
        height, width = plane.shape
        return self.run((plane,), (), (height, width), memory, concurrency)

    def run(
        self,
        planes: Sequence[NDArray[Any]],
        scalars: Sequence[float],
        size: tuple[int, int],
        memory: PlaneAllocator = own_memory,
        concurrency: int = 1,
    ) -> NDArray[Any]:
        (height, width), layout = size, self.code.layout
        result = layout.allocate(height, width, memory)
        self.code.fill(layout.rows(result), planes, scalars, concurrency)
        return layout.crop(result, width)
