"""Memory that a stream's client has made, and this server maps: raw pixels of a client on the same host.

The client makes an anonymous file (memfd) and names it by process and descriptor. POSIX shared memory (`shm_open`) has
a name in /dev/shm that outlives a killed process, and its owner can make it shorter, which ends a reader with SIGBUS. A
memfd is gone with its last user, and its seals hold its size.

Nothing that a client says is believed: an offer is checked before and after the file is opened, and every place in a
slot before it is read. What does not hold makes a `SharedMemoryError`, and the stream goes on without.
"""

from __future__ import annotations

import fcntl
import heapq
import mmap
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from esr_media.slots import PLANE_ALIGNMENT, SLOT_ALIGNMENT, SlotLayout, align_up
from esr_server.errors import ProtocolError, SharedMemoryError
from esr_upscale.errors import FrameError
from esr_upscale.frame import Frame

MAX_SLOTS = 1024
"""In each direction."""

_NAME = re.compile(r"edge-sr-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a client says of its memory."""

    pid: int
    fd: int
    name: str
    layout: SlotLayout


@dataclass(frozen=True, slots=True)
class SlotPlanes:
    """Where a frame's planes lie in shared memory: an output slot, and for each plane (offset, stride) in bytes."""

    slot: int
    planes: tuple[tuple[int, int], ...]


class OutputBuffer:
    """Where a frame that goes out may lie: here, in no slot; it goes inline. End it with `publish` or `discard`."""

    def allocate(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Memory for a plane, `Memory` of the kernels; None if there is none."""
        return None

    def publish(self, frame: Frame) -> tuple[Frame, SlotPlanes | None]:
        """The frame, and where its planes lie; None where it has to go inline."""
        return frame, None

    def discard(self) -> None: ...


class SlotBuffer(OutputBuffer):
    """A slot of output. Planes that were not made in it are copied into it."""

    def __init__(self, slot: int, memory: memoryview, free: Callable[[], None]) -> None:
        self._slot = slot
        self._memory = np.frombuffer(memory, np.uint8)
        self._begin = _address(self._memory)
        self._free = free
        self._end = 0

    def allocate(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        offset = align_up(self._end, PLANE_ALIGNMENT)
        size = shape[0] * shape[1] * dtype.itemsize
        if offset + size > self._memory.size:
            return None
        self._end = offset + size
        return self._memory[offset : self._end].view(dtype).reshape(shape)

    def publish(self, frame: Frame) -> tuple[Frame, SlotPlanes | None]:
        places = [self._place(plane) for plane in frame.planes]
        found = tuple(place for place in places if place is not None)
        if len(found) == len(places):
            return frame, SlotPlanes(self._slot, found)
        frame = replace(frame, planes=tuple(plane.copy() for plane in frame.planes))
        self._free()
        return frame, None

    def discard(self) -> None:
        self._free()

    def _place(self, plane: NDArray[Any]) -> tuple[int, int] | None:
        offset = _address(plane) - self._begin
        if 0 <= offset < self._memory.size:
            return offset, plane.strides[0]
        copy = self.allocate(plane.shape, plane.dtype)
        if copy is None:
            return None
        np.copyto(copy, plane)
        return self._place(copy)


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


class InlineMemory:
    """The shared memory of a stream that has none. `refusal` says why, or nothing if none was offered."""

    shared = False

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal

    def input_slot(self, index: int) -> memoryview:
        """A slot of input, read-only.

        Raises:
            ProtocolError: there is none.
        """
        raise ProtocolError(f"a frame in slot {index} of shared memory, but this stream has none: send planes inline")

    def output(self) -> OutputBuffer:
        """Return memory for the next output frame: a slot, if one is free. Any thread may call it."""
        return OutputBuffer()

    def free(self, slots: Iterable[int]) -> None:
        """Take output slots back that the client has done with.

        Raises:
            ProtocolError: a slot that does not exist, or is free already.
        """
        for slot in slots:
            raise ProtocolError(f"slot {slot} is freed, but this stream has no shared memory")

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SharedMemory(InlineMemory):
    """A client's memory, mapped until `close`, or until the last frame that lies in it is gone."""

    shared = True

    def __init__(self, offer: Offer, mapping: mmap.mmap) -> None:
        super().__init__()
        self._layout = offer.layout
        self._mapping: mmap.mmap | None = mapping
        self._free = list(range(offer.layout.output_slots))  # a heap: low slots first, so that few are touched
        self._is_free = set(self._free)
        self._lock = threading.Lock()

    def input_slot(self, index: int) -> memoryview:
        """Return the bytes of an input slot.

        Raises:
            ProtocolError: the index is not one of the offer's.
        """
        count, size = self._layout.input_slots, self._layout.input_slot_bytes
        if index >= count:
            raise ProtocolError(f"{_slots('input', count)}; a frame is said to lie in slot {index}")
        start = self._layout.input_start(index)
        return self._view()[start : start + size].toreadonly()

    def output(self) -> OutputBuffer:
        with self._lock:
            if not self._free:
                return OutputBuffer()
            slot = heapq.heappop(self._free)
            self._is_free.remove(slot)
            size = self._layout.output_slot_bytes
            start = self._layout.output_start(slot)
            # Under the lock: from here on `close` cannot unmap it.
            return SlotBuffer(slot, self._view()[start : start + size], lambda: self.free([slot]))

    def _view(self) -> memoryview:
        assert self._mapping is not None, "the stream has ended"
        return memoryview(self._mapping)

    def free(self, slots: Iterable[int]) -> None:
        count = self._layout.output_slots
        with self._lock:
            for slot in slots:
                if slot >= count:
                    raise ProtocolError(f"{_slots('output', count)}; slot {slot} is freed")
                if slot in self._is_free:
                    raise ProtocolError(f"slot {slot} is freed, but no frame lies in it: free each frame's slot once")
                self._is_free.add(slot)
                heapq.heappush(self._free, slot)

    def close(self) -> None:
        with self._lock:
            self._free.clear()
            # Not closed but let go of: a worker thread may be at a frame that lies here, and numpy's arrays keep a mmap
            # alive, but do not keep it from being closed.
            self._mapping = None


def plane_bytes(slot: memoryview, offset: int, span: int, sample_bytes: int) -> memoryview:
    """The `span` bytes of a plane at `offset` in a slot, neither of which is trusted.

    Raises:
        FrameError: they do not lie in the slot, or the plane splits samples.
    """
    if offset % sample_bytes:
        raise FrameError(f"a plane's offset must be a multiple of its samples' {sample_bytes} bytes, not {offset}")
    if span < 0 or offset + span > len(slot):
        raise FrameError(f"a plane must lie within its slot's {len(slot)} bytes, not at {offset} … {offset + span}")
    return slot[offset : offset + span]


def _slots(direction: str, count: int) -> str:
    return f"this stream has {count} slots of {direction}, counted from 0"


# ---- taking an offer ----------------------------------------------------------------------------------------------


def map_offer(offer: Offer, max_bytes: int) -> SharedMemory:
    """Open and map what a client offers; `max_bytes` is the most that may be mapped.

    Raises:
        SharedMemoryError: the offer does not hold, or the system refuses. The message says why.
    """
    _check_offer(offer, max_bytes)
    try:
        fd = _open(offer)
        try:
            _check_file(fd, offer)
            return SharedMemory(offer, mmap.mmap(fd, offer.layout.size))
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        raise SharedMemoryError(f"the offered memory cannot be opened: {error}") from error


def _check_offer(offer: Offer, max_bytes: int) -> None:
    if not _NAME.fullmatch(offer.name):
        raise SharedMemoryError(f"the name must be edge-sr- and 32 hexadecimal digits, not {offer.name[:64]!r}")
    if max(offer.layout.input_slots, offer.layout.output_slots) > MAX_SLOTS:
        raise SharedMemoryError(f"there are at most {MAX_SLOTS} slots in each direction")
    if offer.layout.input_slot_bytes % SLOT_ALIGNMENT or offer.layout.output_slot_bytes % SLOT_ALIGNMENT:
        raise SharedMemoryError(f"slots must be multiples of {SLOT_ALIGNMENT} bytes")
    if not 0 < offer.layout.size <= max_bytes:
        raise SharedMemoryError(f"this server maps 1 to {max_bytes} bytes for a stream, not {offer.layout.size}")


def _open(offer: Offer) -> int:
    """Open the file that the offer speaks of, and no other: opening alone may have effects, or wait for ever."""
    if os.stat(f"/proc/{offer.pid}").st_uid != os.geteuid():
        raise SharedMemoryError("the client's process is another user's")
    path = f"/proc/{offer.pid}/fd/{offer.fd}"
    _check_name(path, offer.name)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        # Once more: the client may have put another file in its place meanwhile.
        _check_name(f"/proc/self/fd/{fd}", offer.name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_name(path: str, name: str) -> None:
    target = os.readlink(path)
    if target != f"/memfd:{name} (deleted)":
        raise SharedMemoryError(f"the client's descriptor is not the memfd {name}")


def _check_file(fd: int, offer: Offer) -> None:
    """Check that reading and writing the file can never fail, which in mapped memory ends the process."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        raise SharedMemoryError("the memory is another user's")
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    if not stat.S_ISREG(status.st_mode) or fcntl.fcntl(fd, fcntl.F_GET_SEALS) & seals != seals:
        raise SharedMemoryError("the memory is not sealed with F_SEAL_SHRINK and F_SEAL_GROW")
    if status.st_size != offer.layout.size:
        raise SharedMemoryError(f"the memory has {status.st_size} bytes, but the offer says {offer.layout.size}")
    # Huge pages (hugetlbfs) can run out at the first touch of one.
    if os.fstatvfs(fd).f_bsize != mmap.PAGESIZE:
        raise SharedMemoryError("the memory is not made of ordinary pages")
