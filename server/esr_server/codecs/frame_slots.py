"""Memory for frames that the server and the process of a codec share."""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections import deque

import numpy as np

from esr_media.slots import SLOT_ALIGNMENT, align_up


class FrameSlots:
    """Shared memory for frames of a codec, of which only the parts that are used exist. Safe to use from any thread."""

    def __init__(self, count: int, slot_bytes: int) -> None:
        self.slot_bytes = align_up(slot_bytes, SLOT_ALIGNMENT)
        self.file = os.memfd_create("edge-sr-codec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._closer = weakref.finalize(self, os.close, self.file)  # also of one that is never closed
        os.ftruncate(self.file, count * self.slot_bytes)
        # Memory behind the end of a file ends the process that reads it: the codec's must not cut it off.
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._mapping: mmap.mmap | None = mmap.mmap(self.file, count * self.slot_bytes)
        # The slot that was freed last is taken next: few are touched. A deque needs no lock, which a thread could hold
        # when the garbage collector has it free a slot.
        self._free = deque(reversed(range(count)))

    def take(self) -> int:
        """Return a free slot. There is one: `view` leaves it."""
        return self._free.pop()

    def free(self, slot: int) -> None:
        self._free.append(slot)

    def view(self, slot: int) -> tuple[memoryview, bool]:
        """Return a slot's bytes, and whether they are to be copied and `free` called, since it was the last slot.

        Otherwise the slot is free again when the last array that lies in it is gone.
        """
        assert self._mapping is not None, "the codec is closed"
        samples = np.frombuffer(self._mapping, np.uint8, self.slot_bytes, slot * self.slot_bytes)
        is_last = not self._free
        if not is_last:
            weakref.finalize(samples, self.free, slot).atexit = False
        return samples.data, is_last

    def close(self) -> None:
        """Close the file. Its memory is there until the last array that lies in it is gone."""
        self._closer()
        self._mapping = None  # it has a descriptor of its own, which a traceback could hold
