"""Slots of shared memory, and planes in them."""

from __future__ import annotations

from esr_media.slots import PLANE_ALIGNMENT, SlotLayout, align_up, arrange


def test_output_slots_lie_behind_the_input_slots() -> None:
    layout = SlotLayout(input_slots=2, input_slot_bytes=4096, output_slots=3, output_slot_bytes=8192)
    starts = [layout.input_start(i) for i in range(2)] + [layout.output_start(i) for i in range(3)]
    assert starts == [0, 4096, 8192, 16384, 24576]
    assert layout.size == 32768


def test_planes_begin_at_cache_lines() -> None:
    assert arrange([100, 1, 64]) == ((0, 128, 192), 256)
    assert arrange([]) == ((), 0)
    assert [align_up(n, PLANE_ALIGNMENT) for n in (0, 1, 64, 65)] == [0, 64, 64, 128]
