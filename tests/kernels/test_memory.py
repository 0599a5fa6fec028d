"""Memory of results: never shared by two planes that are held, used again by one that comes after."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from esr_upscale.kernels.layout import Layout
from esr_upscale.kernels.memory import KEPT, ResultMemory

LAYOUT = Layout(scale=2, depth=8, segment_px=32, tile_segments=0)


def _address(plane: NDArray[Any]) -> int:
    return int(plane.__array_interface__["data"][0])


def test_memory_is_used_again_once_no_view_of_it_is_left() -> None:
    memory = ResultMemory(LAYOUT)
    plane = memory.take(40, 50)
    assert plane.shape == (80, 128)
    assert plane.flags.writeable
    part, first = LAYOUT.crop(plane, 50)[3:, 5:], _address(plane)
    del plane
    other = memory.take(40, 50)
    assert _address(other) != first  # a view of a view still holds it
    del part
    gc.collect()
    assert _address(memory.take(40, 50)) == first


def test_memory_of_another_size_is_not_taken() -> None:
    memory = ResultMemory(LAYOUT)
    assert memory.take(40, 50).shape == (80, 128)
    assert memory.take(41, 50).shape == (82, 128)
    assert memory.take(40, 65).shape == (80, 192)


def test_what_is_kept_is_bounded() -> None:
    memory = ResultMemory(LAYOUT)
    planes = [memory.take(8, 8) for _ in range(3 * KEPT)]
    assert len({_address(plane) for plane in planes}) == 3 * KEPT
    planes.clear()
    assert len(memory._idle) == KEPT


def test_threads_never_hold_the_same_memory() -> None:
    memory = ResultMemory(LAYOUT)

    def fill(number: int) -> bool:
        plane = memory.take(16, 32)
        plane[:] = number
        return bool((plane == number).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fill, [n % 251 for n in range(4000)]))
