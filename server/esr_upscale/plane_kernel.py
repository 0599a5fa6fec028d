"""The interface of a kernel, which every backend implements.

A kernel upscales one plane of one component. The caller need not know which backend it is of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""Code values, (H, W); rows are contiguous, and may be padded (strided)."""

Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Tensors by their published names."""
PlaneAllocator: TypeAlias = Callable[[tuple[int, int], np.dtype[Any]], NDArray[Any] | None]
"""Returns memory for a result of that shape and dtype, with contiguous rows; None makes the kernel use its own."""


def digest(weights: Weights) -> str:
    """SHA-256 of tensors, by name: the same for the same numbers."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        sha.update(name.encode() + str(weights[name].shape).encode() + weights[name].tobytes())
    return sha.hexdigest()


def own_memory(_shape: tuple[int, int], _dtype: np.dtype[Any]) -> None: ...


FRAMES_AT_ONCE = 2
"""Best number of frames to work on at the same time. Each frame gets a share of the threads, which then wait less often
for each other. The work before and after the kernels of one frame overlaps with the kernels of the other.
"""


def threads_per_frame(threads: int, concurrency: int) -> int:
    """Return the threads for each of `concurrency` frames that share `threads`: at least 1."""
    return -(-threads // concurrency)


class PlaneFunction(Protocol):
    """Compiled code from planes of one size to one plane. Safe to call from several threads at once."""

    def run(
        self,
        planes: Sequence[NDArray[Any]],
        scalars: Sequence[float],
        size: tuple[int, int],
        memory: PlaneAllocator = own_memory,
        concurrency: int = 1,
    ) -> NDArray[Any]:
        """Return the result for `planes` and `scalars`, of a picture whose size is (H, W) before upscaling.

        `memory` and `concurrency` are those of `PlaneKernel`. Raises EngineError if the code gives up.
        """
        ...


class PlaneKernel(Protocol):
    """Upscales one plane by a fixed scale, at a fixed pixel depth. Safe to call from several threads at once."""

    backend: str
    """Backend name in `esr_model_info` and `ListModels`: `torch-cpu`, `torch-cuda`, `fused`."""

    def __call__(self, plane: NDArray[Any], memory: PlaneAllocator = own_memory, concurrency: int = 1) -> NDArray[Any]:
        """Upscale `plane` (H, W), code values in 0 … 2ⁿ−1, to a (s·H, s·W) plane of the same dtype.

        The new plane's rows may be padded. It lies in the memory that `memory` returns, if the kernel asks for any.
        `concurrency` planes are upscaled at the same time, and share the kernel's threads.
        """
        ...
