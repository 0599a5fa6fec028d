"""Shared memory by hand: what a client in any language would make, and what is left of it."""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_api.v1 import upscaler_pb2 as pb

SLOT = 4096
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


@dataclass(frozen=True)
class ClientMemory:
    """A memfd, and the offer that describes it."""

    fd: int
    offer: pb.SharedMemory
    view: mmap.mmap

    def changed(self, **changes: Any) -> pb.SharedMemory:
        """The offer with some fields changed."""
        offer = pb.SharedMemory()
        offer.CopyFrom(self.offer)
        for name, value in changes.items():
            setattr(offer, name, value)
        return offer


@contextmanager
def client_memory(slots: tuple[int, int] = (2, 2), seals: int = SEALS, name: str = "") -> Iterator[ClientMemory]:
    """Memory with so many slots of input and of output, of `SLOT` bytes each."""
    name = name or f"edge-sr-{secrets.token_hex(16)}"
    size = sum(slots) * SLOT
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        offer = pb.SharedMemory(
            pid=os.getpid(), fd=fd, name=name,
            input_slots=slots[0], input_slot_bytes=SLOT, output_slots=slots[1], output_slot_bytes=SLOT,
        )  # fmt: skip
        with mmap.mmap(fd, size) as view:
            yield ClientMemory(fd, offer, view)
    finally:
        os.close(fd)


def in_shared_memory(plane: NDArray[Any]) -> bool:
    """Whether an array lies in shared memory: what comes inline lies in bytes."""
    owner: object = plane
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, memoryview)


def traces(pid: int) -> int:
    """Mappings and descriptors of streams' memory that a process has."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").count("/memfd:edge-sr-")
    return maps + sum("memfd:edge-sr-" in _target(path) for path in Path(f"/proc/{pid}/fd").iterdir())


def _target(path: Path) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:  # closed meanwhile
        return ""
