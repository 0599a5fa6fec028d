"""Where planes lie in memory that a client and a server share: slots of input, then slots of output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SLOT_ALIGNMENT = 4096
"""Slots are multiples of so many bytes."""
PLANE_ALIGNMENT = 64
"""Planes begin at multiples of so many bytes: a cache line, so that none begins within a vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotLayout:
    """Slots of input, then slots of output."""

    input_slots: int
    input_slot_bytes: int
    output_slots: int
    output_slot_bytes: int

    @property
    def size(self) -> int:
        """Return the bytes of all slots."""
        return self.input_slots * self.input_slot_bytes + self.output_slots * self.output_slot_bytes

    def input_start(self, index: int) -> int:
        """Return where an input slot begins, in bytes."""
        return index * self.input_slot_bytes

    def output_start(self, index: int) -> int:
        """Return where an output slot begins, in bytes."""
        return self.input_slots * self.input_slot_bytes + index * self.output_slot_bytes


def align_up(size: int, alignment: int) -> int:
    """Return the least multiple of `alignment` that is not below `size`."""
    return -(-size // alignment) * alignment


def arrange(sizes: Iterable[int]) -> tuple[tuple[int, ...], int]:
    """Return the offsets of planes of these sizes in a slot, one after the other, and the bytes of all."""
    offsets, end = list[int](), 0
    for size in sizes:
        offsets.append(align_up(end, PLANE_ALIGNMENT))
        end = offsets[-1] + size
    return tuple(offsets), end
