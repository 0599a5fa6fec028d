"""Shared memory by itself: which slots are given out, and where planes lie in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from esr_media.formats import PIXEL_FORMATS, plane_from_buffer
from esr_server.config import Limits
from esr_server.errors import ProtocolError
from esr_server.rpc.config import memory_offer
from esr_server.streaming.shared_memory import SharedMemory, SlotBuffer, SlotPlanes, map_offer, plane_bytes
from esr_upscale.frame import Frame
from tests.support.frames import noise_frame
from tests.support.shared_memory import SLOT, ClientMemory, client_memory, traces

GRAY = PIXEL_FORMATS["gray"]
BYTES = np.dtype(np.uint8)


@pytest.fixture
def memory() -> Iterator[ClientMemory]:
    with client_memory() as memory:
        yield memory


def _placement(shared_memory: SharedMemory, frame: Frame) -> SlotPlanes | None:
    """Where the next frame lies in output."""
    return shared_memory.output().publish(frame)[1]


@pytest.fixture
def shared_memory(memory: ClientMemory) -> Iterator[SharedMemory]:
    with map_offer(memory_offer(memory.offer), Limits().max_shared_bytes) as shared_memory:
        yield shared_memory


def test_low_slots_are_used_again_before_high_ones(shared_memory: SharedMemory) -> None:
    frame = noise_frame(GRAY, 16, 12)
    placements = [_placement(shared_memory, frame) for _ in range(3)]
    assert [place and place.slot for place in placements] == [0, 1, None]
    shared_memory.free([1, 0])
    again = _placement(shared_memory, frame)
    assert again is not None
    assert again.slot == 0


def test_a_slot_is_freed_once(shared_memory: SharedMemory) -> None:
    shared_memory.output()
    with pytest.raises(ProtocolError, match="free each frame's slot once"):
        shared_memory.free([0, 0])


def test_planes_made_in_a_slot_stay_where_they_are(shared_memory: SharedMemory, memory: ClientMemory) -> None:
    output, frame = shared_memory.output(), noise_frame(PIXEL_FORMATS["yuv444p"], 16, 12)
    first, second = output.allocate((12, 40), BYTES), output.allocate((12, 16), BYTES)
    assert first is not None
    assert second is not None
    first[:], second[:] = 7, 9
    same, placement = output.publish(replace(frame, planes=(first[:, :16], second, frame.planes[2])))
    assert placement is not None
    assert placement.planes == ((0, 40), (512, 16), (704, 16))
    assert (same.planes[0] == 7).all()
    slot = memory.view[2 * SLOT : 3 * SLOT]
    assert slot[:480] == b"\7" * 480
    assert slot[512:704] == b"\11" * 192
    assert slot[704:896] == frame.planes[2].tobytes()


def test_a_frame_that_does_not_fit_leaves_its_slot(shared_memory: SharedMemory) -> None:
    output, frame = shared_memory.output(), noise_frame(PIXEL_FORMATS["yuv444p"], 64, 40)
    first = output.allocate((40, 64), BYTES)
    assert first is not None
    assert output.allocate((40, 64), BYTES) is None
    first[:] = 5
    other, placement = output.publish(replace(frame, planes=(first, *frame.planes[1:])))
    first[:] = 6
    assert placement is None
    assert (other.planes[0] == 5).all()
    outputs = [shared_memory.output() for _ in range(3)]
    assert [isinstance(each, SlotBuffer) for each in outputs] == [True, True, False]


def test_input_cannot_be_written_to(shared_memory: SharedMemory) -> None:
    assert shared_memory.input_slot(1).readonly


def test_a_plane_that_lies_there_outlives_it(shared_memory: SharedMemory, memory: ClientMemory) -> None:
    memory.view[:3] = b"abc"
    own = traces(os.getpid())
    plane = plane_from_buffer(GRAY, 0, 3, 1, plane_bytes(shared_memory.input_slot(0), 0, 3, 1), 3)
    shared_memory.close()
    assert bytes(plane) == b"abc"
    del plane
    assert traces(os.getpid()) == own - 2  # the mapping, and the descriptor that Python keeps for it
    assert _placement(shared_memory, noise_frame(GRAY, 16, 12)) is None
