"""Memory of results, used again as soon as nobody holds the plane that lay in it.

Fresh memory costs a page fault for every 4096 bytes, which for the shortest kernels is more than their work.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.kernels.interface import Memory, own_memory
from esr_upscale.kernels.layout import Layout, sample_type

KEPT = 4
"""Planes, at most, whose memory is kept while nobody uses it."""


class _Lease:
    """Holds memory for one plane. Arrays made of it keep it alive; with the last of them it goes back."""

    def __init__(self, memory: NDArray[Any], idle: deque[NDArray[Any]]) -> None:
        self._memory, self._idle = memory, idle
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._idle.append(self._memory)


class ResultMemory:
    """Where a kernel's results lie. Safe to use from any thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dtype = np.dtype(sample_type(layout.depth))
        self._idle: deque[NDArray[Any]] = deque(maxlen=KEPT)

    def take(self, height: int, width: int, elsewhere: Memory = own_memory) -> NDArray[Any]:
        """Memory for the result of a plane of this size, as `Layout.allocate`; what is in it is anything.

        It is from `elsewhere`, if that gives any.
        """
        shape = self._layout.shape(height, width)
        given = elsewhere(shape, self._dtype)
        if given is not None:
            return given
        memory = self._of_shape(shape)
        if memory is None:
            memory = self._layout.allocate(height, width)
        return np.asarray(_Lease(memory, self._idle))

    def _of_shape(self, shape: tuple[int, int]) -> NDArray[Any] | None:
        # What another thread has taken or given back meanwhile is not missed: this looks at each plane once at most.
        for _ in range(KEPT):
            try:
                memory = self._idle.pop()
            except IndexError:
                return None
            if memory.shape == shape:
                return memory
            self._idle.appendleft(memory)
        return None
