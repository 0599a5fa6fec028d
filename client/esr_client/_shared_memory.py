"""Memory that a stream shares with a server on the same host: raw pixels lie there, and messages only say where.

It is an anonymous file (Linux memfd), which the server opens as /proc/PID/fd/FD. Memory of `shm_open` would have a name
in /dev/shm: it can be guessed, and it stays behind where both sides are killed. A memfd is gone with its last user; its
seals promise the server that it never gets shorter, for touching what was cut off would end the server's process.

One thread may put frames in while another takes them out. Slots of output are free again when the last view of their
frame is gone, in whatever thread that happens.
"""

from __future__ import annotations

import io
import mmap
import os
import secrets
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esr_client._config import Options, RawInput, RawOutput, StreamConfig, VideoFormat
from esr_client._errors import ContractError
from esr_media.formats import PIXEL_FORMATS
from esr_media.slots import SLOT_ALIGNMENT, SlotLayout, align_up, arrange

_ROW_PADDING = 64  # samples of LR, in addition to an eighth of the width
_EXTRA_OUTPUT_SLOTS = 4  # answers that the caller may hold, beyond those on their way, before planes come inline
_CODEC_SLOTS = 16  # where packets go the other way: a codec may hold back any number, but memory is not for any


@dataclass(frozen=True, slots=True)
class Offer:
    """The description of the memory that the server gets."""

    pid: int
    fd: int
    name: str
    layout: SlotLayout


@dataclass(frozen=True, slots=True)
class SlotPlanes:
    """The place of a frame's planes: an input slot, and for each plane its offset in bytes. Rows have no padding."""

    slot: int
    offsets: tuple[int, ...]


class StreamMemory(Protocol):
    """The memory that the planes of one stream go through."""

    offer: Offer | None
    """What to offer to the server."""
    refusal: str
    """Why there is no shared memory, where it is not the server that says so."""
    open_to_frames: bool
    """Whether it is known where frames go. Before the server's negotiated answer, they could only go inline."""

    def settle(self, accepted: bool) -> None:
        """Note the server's negotiated answer: it shares the memory, or it does not.

        Raises:
            ContractError: it shares what was not offered.
        """

    def put(self, sequence: int, planes: Sequence[NDArray[Any]]) -> SlotPlanes | None:
        """Copy the planes of frame `sequence` into a free input slot. None: they have to go inline."""

    def release_input(self, sequence: int) -> None:
        """Free the input slot of frame `sequence`, which the server has answered."""

    def take(self, index: int) -> NDArray[np.uint8]:
        """Return the output slot of a frame that has come, read-only. It is the caller's as long as a view of it lives.

        Raises:
            ContractError: the server may not have written there.
        """

    def pop_freed_slots(self) -> list[int]:
        """Return output slots that have become free since the last call."""

    def close(self) -> None:
        """Give back what no frame lies in. Closing twice does no harm."""


class InlineMemory(StreamMemory):
    """No shared memory: planes go through messages."""

    def __init__(self, refusal: str = "") -> None:
        self.offer = None
        self.refusal = refusal
        self.open_to_frames = True

    def settle(self, accepted: bool) -> None:
        if accepted:
            raise ContractError("the server shares memory that it was not offered")

    def put(self, sequence: int, planes: Sequence[NDArray[Any]]) -> SlotPlanes | None:
        return None

    def release_input(self, sequence: int) -> None:
        pass

    def take(self, index: int) -> NDArray[np.uint8]:
        raise ContractError(f"the server sent a frame in slot {index} of shared memory, but this stream has none")

    def pop_freed_slots(self) -> list[int]:
        return []

    def close(self) -> None:
        pass


class SharedMemory(StreamMemory):
    """The memory that one stream offers. The server may use it once `settle` has said so."""

    def __init__(self, layout: SlotLayout) -> None:
        """Create the file and map it.

        Raises:
            OSError: the system refuses.
        """
        import fcntl  # not on every system; where memfd_create is, it is

        self.refusal = ""
        name = f"edge-sr-{secrets.token_hex(16)}"
        self._file = io.FileIO(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+")
        try:
            os.ftruncate(self._file.fileno(), layout.size)
            fcntl.fcntl(
                self._file.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            )
            self._mapping: mmap.mmap | None = mmap.mmap(self._file.fileno(), layout.size)
        except BaseException:
            self._file.close()
            raise
        self._layout = layout
        self._accepted = False
        self.open_to_frames = not layout.input_slots
        self._idle_inputs = list(range(layout.input_slots))
        self._used_inputs: dict[int, int] = {}
        self._used_outputs: set[int] = set()
        self._freed_outputs: deque[int] = deque()
        self.offer = Offer(os.getpid(), self._file.fileno(), name, layout)

    def settle(self, accepted: bool) -> None:
        self._accepted, self.open_to_frames = accepted, True
        self._file.close()
        if not accepted:
            self.close()

    def put(self, sequence: int, planes: Sequence[NDArray[Any]]) -> SlotPlanes | None:
        size, mapping = self._layout.input_slot_bytes, self._mapping
        offsets, total_bytes = arrange([plane.nbytes for plane in planes])
        if not self._accepted or mapping is None or total_bytes > size or not self._idle_inputs:
            return None
        # The last one that came back: memory that was never touched stays so.
        slot = self._idle_inputs.pop()
        for plane, offset in zip(planes, offsets, strict=True):
            np.copyto(np.ndarray(plane.shape, plane.dtype, mapping, slot * size + offset), plane)
        self._used_inputs[sequence] = slot
        return SlotPlanes(slot, offsets)

    def release_input(self, sequence: int) -> None:
        slot = self._used_inputs.pop(sequence, None)
        if slot is not None:
            self._idle_inputs.append(slot)

    def take(self, index: int) -> NDArray[np.uint8]:
        count, size = self._layout.output_slots, self._layout.output_slot_bytes
        if self._mapping is None or not self._accepted or index >= count:
            raise ContractError(f"the server sent a frame in slot {index} of {count if self._accepted else 0}")
        if index in self._used_outputs:
            raise ContractError(f"the server wrote to slot {index} before it was freed")
        self._used_outputs.add(index)
        start = self._layout.output_start(index)
        # Through a read-only memoryview: a caller cannot make the array writable again.
        slot = np.frombuffer(memoryview(self._mapping)[start : start + size].toreadonly(), np.uint8)
        # Every array that is made of this one keeps it alive: numpy shortens chains of views down to the first array,
        # and no further, because what lies behind that is no array.
        weakref.finalize(slot, self._freed_outputs.append, index).atexit = False
        return slot

    def pop_freed_slots(self) -> list[int]:
        slots = []
        while self._freed_outputs:
            slots.append(self._freed_outputs.popleft())
        self._used_outputs.difference_update(slots)
        return slots

    def close(self) -> None:
        """Release the memory. Slots that frames still use are unmapped with the last of those frames."""
        self._file.close()
        self._accepted = False
        self._mapping = None


def memory_for(config: StreamConfig, options: Options, window: int) -> StreamMemory:
    """Return the memory to offer for a stream; none where that is switched off, of no use, or not to be had."""
    if not options.shared_memory or not hasattr(os, "memfd_create"):
        return InlineMemory()
    layout = _layout(config, options, window)
    if not layout.size:
        return InlineMemory()
    try:
        return SharedMemory(layout)
    except OSError as error:
        return InlineMemory(f"this client could not make shared memory: {error}")


def _layout(config: StreamConfig, options: Options, window: int) -> SlotLayout:
    raw_in, raw_out = isinstance(config.input, RawInput), isinstance(config.output, RawOutput)
    fmt = config.input.format
    # The scale is the server's to say, and not known yet.
    input_bytes = min(_frame_bytes(fmt, 1), options.max_send_bytes)
    # Wider than the picture: the server pads rows, to make planes in the slot without a copy.
    padding = fmt.width // 8 + _ROW_PADDING
    output_bytes = min(_frame_bytes(fmt, options.max_scale, padding), options.max_receive_bytes)
    both = window if raw_in and raw_out else _CODEC_SLOTS
    return SlotLayout(
        input_slots=both if raw_in else 0,
        input_slot_bytes=align_up(input_bytes, SLOT_ALIGNMENT),
        output_slots=both + _EXTRA_OUTPUT_SLOTS if raw_out else 0,
        output_slot_bytes=align_up(output_bytes, SLOT_ALIGNMENT),
    )


def _frame_bytes(fmt: VideoFormat, scale: int, padding: int = 0) -> int:
    """Return the bytes of a picture `padding` samples wider, `scale` times as large; 0 for an unknown format."""
    row = PIXEL_FORMATS.get(fmt.pixel_format)
    if row is None or fmt.width < 1 or fmt.height < 1:
        return 0
    shapes = (row.plane_shape(i, (fmt.width + padding) * scale, fmt.height * scale) for i in range(len(row.planes)))
    return arrange([rows * samples * row.dtype.itemsize for rows, samples in shapes])[1]
