"""Shared memory, as a client in any language would speak of it, and as a hostile one would."""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from esr_api.v1 import upscaler_pb2 as pb
from esr_media.formats import PIXEL_FORMATS
from esr_server import __main__ as command
from esr_server.config import Limits, ServerSettings
from esr_server.errors import SharedMemoryError
from esr_server.rpc.config import memory_offer
from esr_server.streaming.shared_memory import map_offer
from tests.support.calls import Stub, raw_config, raw_frame, rest, stub_of, upscale
from tests.support.server import running
from tests.support.shared_memory import SEALS, SLOT, ClientMemory, client_memory, traces
from tests.support.waiting import comes_true

GRAY = PIXEL_FORMATS["gray"]
MAX = Limits().max_shared_bytes


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with running() as server, stub_of(server) as stub:
        yield stub


@pytest.fixture
def memory() -> Iterator[ClientMemory]:
    with client_memory() as memory:
        yield memory


def _config(offer: pb.SharedMemory) -> pb.UpscaleRequest:
    return raw_config(16, 12, pixel_format="gray", shared_memory=offer)


def _in_slot(sequence: int, slot: int = 0, **plane: Any) -> pb.UpscaleRequest:
    """A gray frame of 16x12 in a slot."""
    planes = [pb.Plane(**{"stride": 16, **plane})]
    return pb.UpscaleRequest(frame=pb.Frame(sequence=sequence, planes=planes, slot=pb.Slot(index=slot)))


async def test_frames_of_slots_equal_those_of_messages(stub: Stub, memory: ClientMemory) -> None:
    inline = await upscale(stub, [raw_config(16, 12, pixel_format="gray"), raw_frame(0, name="gray")])
    request = raw_frame(0, name="gray")
    # Rows 40 bytes apart, the first 96 bytes into the second slot.
    rows = np.frombuffer(memory.view, np.uint8, 12 * 40, SLOT + 96).reshape(12, 40)
    rows[:, :16] = np.frombuffer(request.frame.planes[0].data, np.uint8).reshape(12, 16)
    del rows
    shared = await upscale(stub, [_config(memory.offer), _in_slot(0, 1, offset=96, stride=40)])
    assert shared.negotiated is not None
    assert (shared.negotiated.shared_memory, shared.negotiated.shared_memory_refusal) == (True, "")
    (frame,) = shared.frames
    (plane,) = frame.planes
    start = (2 + frame.slot.index) * SLOT + plane.offset
    assert frame.HasField("slot")
    assert plane.data == b""
    made_there = np.frombuffer(memory.view, np.uint8, 24 * plane.stride, start).reshape(24, plane.stride)[:, :32]
    assert made_there.tobytes() == inline.frames[0].planes[0].data
    del made_there


async def test_without_a_free_slot_frames_go_inline(stub: Stub, memory: ClientMemory) -> None:
    call = stub.Upscale()
    await call.write(_config(memory.offer))
    assert (await call.read()).negotiated.shared_memory
    slots = []
    for i in range(6):
        request = _in_slot(i, i % 2)
        request.freed_output_slots.extend([1] if i == 4 else [])
        await call.write(request)
        frame = (await call.read()).frame
        assert bool(frame.planes[0].data) is not frame.HasField("slot")
        slots.append(frame.slot.index if frame.HasField("slot") else None)
    await call.done_writing()
    outcome = await rest(call)
    assert slots == [0, 1, None, None, 1, None]
    assert outcome.statistics is not None
    assert outcome.statistics.frames_out == 6


async def test_a_frame_larger_than_the_slot_comes_inline(stub: Stub) -> None:
    with client_memory() as memory:
        outcome = await upscale(
            stub, [raw_config(64, 40, shared_memory=memory.offer), raw_frame(0, 64, 40), raw_frame(1, 64, 40)]
        )
    assert [frame.HasField("slot") for frame in outcome.frames] == [False, False]
    assert len(outcome.frames[1].planes[0].data) == 128 * 80


REFUSED: dict[str, tuple[Callable[[ClientMemory], dict[str, Any]], str]] = {
    "another name": (lambda _: {"name": f"edge-sr-{secrets.token_hex(16)}"}, "is not the memfd edge-sr-"),
    "a name of another form": (lambda _: {"name": "edge-sr-../../etc/passwd"}, "32 hexadecimal digits"),
    "another file": (lambda _: {"fd": 0}, "is not the memfd"),
    "a closed descriptor": (lambda _: {"fd": 1_000_000}, "No such file"),
    "no such process": (lambda _: {"pid": 2**22 + 1}, "No such file"),
    "more bytes": (lambda _: {"output_slots": 3}, "the memory has 16384 bytes, but the offer says 20480"),
    "fewer bytes": (lambda _: {"output_slots": 1}, "the memory has 16384 bytes, but the offer says 12288"),
    "slots of odd size": (lambda _: {"input_slot_bytes": 4095}, "multiples of 4096"),
    "too many slots": (lambda _: {"input_slots": 2**32 - 1}, "at most 1024 slots"),
    "too large": (lambda _: {"input_slot_bytes": 2**63}, f"maps 1 to {MAX} bytes"),
    "empty": (lambda _: {"input_slots": 0, "output_slots": 0}, "maps 1 to"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_refused_offer_does_not_end_the_stream(stub: Stub, memory: ClientMemory, what: str) -> None:
    changes, says = REFUSED[what]
    offer = memory.changed(**changes(memory))
    outcome = await upscale(stub, [_config(offer), raw_frame(0, name="gray")])
    assert outcome.negotiated is not None
    assert not outcome.negotiated.shared_memory
    assert says in outcome.negotiated.shared_memory_refusal
    assert len(outcome.frames[0].planes[0].data) == 32 * 24


@pytest.mark.parametrize("seals", [0, SEALS & ~2, SEALS & ~4])
async def test_memory_that_could_change_its_size_is_refused(stub: Stub, seals: int) -> None:
    with client_memory(seals=seals) as memory:
        outcome = await upscale(stub, [_config(memory.offer), raw_frame(0, name="gray")])
    assert outcome.negotiated is not None
    assert "not sealed with F_SEAL_SHRINK and F_SEAL_GROW" in outcome.negotiated.shared_memory_refusal
    assert len(outcome.frames) == 1


async def test_shared_memory_can_be_switched_off(memory: ClientMemory) -> None:
    async with running(shared_memory=False) as server, stub_of(server) as stub:
        outcome = await upscale(stub, [_config(memory.offer), raw_frame(0, name="gray")])
    assert outcome.negotiated is not None
    assert outcome.negotiated.shared_memory_refusal == "shared memory is switched off on this server"
    assert len(outcome.frames) == 1


@pytest.mark.parametrize("which", ["stat", "fstat"])
def test_another_users_memory_is_refused(memory: ClientMemory, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    # There is no second user here: the system's answer is changed instead.
    real = getattr(os, which)

    def other(path: Any, **more: Any) -> Any:
        values = list(real(path, **more))
        values[4] = os.geteuid() + 1
        return os.stat_result(values)

    monkeypatch.setattr(os, which, other)
    with pytest.raises(SharedMemoryError, match="another user's"):
        map_offer(memory_offer(memory.offer), MAX)


def test_memory_of_huge_pages_is_refused(memory: ClientMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    # Huge pages may be none here: the system's answer is changed instead.
    huge = os.statvfs_result((1 << 21, *list(os.fstatvfs(memory.fd))[1:]))
    monkeypatch.setattr(os, "fstatvfs", lambda _: huge)
    with pytest.raises(SharedMemoryError, match="ordinary pages"):
        map_offer(memory_offer(memory.offer), MAX)


def test_a_refusal_leaves_no_descriptor(memory: ClientMemory) -> None:
    before = traces(os.getpid())
    with pytest.raises(SharedMemoryError):
        map_offer(memory_offer(memory.changed(output_slots=3)), MAX)
    assert traces(os.getpid()) == before


HOSTILE: dict[str, tuple[Callable[[], list[pb.UpscaleRequest]], grpc.StatusCode, str]] = {
    "a slot that is not there": (
        lambda: [_in_slot(0, 2)], grpc.StatusCode.FAILED_PRECONDITION, "2 slots of input, counted from 0",
    ),
    "the largest slot": (
        lambda: [_in_slot(0, 2**32 - 1)], grpc.StatusCode.FAILED_PRECONDITION, "2 slots of input",
    ),
    "an offset behind the slot": (
        lambda: [_in_slot(0, offset=SLOT)], grpc.StatusCode.INVALID_ARGUMENT, "within its slot's 4096 bytes",
    ),
    "a last row that sticks out": (
        lambda: [_in_slot(0, offset=SLOT - 16 * 12 + 1)], grpc.StatusCode.INVALID_ARGUMENT, "within its slot's",
    ),
    "the largest offset": (
        lambda: [_in_slot(0, offset=2**64 - 1)], grpc.StatusCode.INVALID_ARGUMENT, "within its slot's",
    ),
    "the largest stride": (
        lambda: [_in_slot(0, stride=2**32 - 1)], grpc.StatusCode.INVALID_ARGUMENT, "within its slot's",
    ),
    "a stride of nothing": (
        lambda: [_in_slot(0, stride=0)], grpc.StatusCode.INVALID_ARGUMENT, "stride of at least 16",
    ),
    "data and a slot": (
        lambda: [_in_slot(0, data=b"x")], grpc.StatusCode.INVALID_ARGUMENT, "this one has both",
    ),
    "an offset without a slot": (
        lambda: [raw_frame(0, planes=[pb.Plane(data=bytes(192), stride=16, offset=1)])],
        grpc.StatusCode.INVALID_ARGUMENT, "only if its frame has a slot",
    ),
    "too many planes": (
        lambda: [pb.UpscaleRequest(frame=pb.Frame(planes=[pb.Plane(stride=16)] * 3, slot=pb.Slot()))],
        grpc.StatusCode.INVALID_ARGUMENT, "gray has 1 planes, the frame has 3",
    ),
    "freeing what is free": (
        lambda: [pb.UpscaleRequest(frame=_in_slot(0).frame, freed_output_slots=[0])],
        grpc.StatusCode.FAILED_PRECONDITION, "slot 0 is freed, but no frame lies in it",
    ),
    "freeing what is not there": (
        lambda: [pb.UpscaleRequest(frame=_in_slot(0).frame, freed_output_slots=[2])],
        grpc.StatusCode.FAILED_PRECONDITION, "2 slots of output",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_messages_end_their_stream_only(stub: Stub, memory: ClientMemory, what: str) -> None:
    requests, code, says = HOSTILE[what]
    outcome = await upscale(stub, [_config(memory.offer), *requests()])
    assert (outcome.code, outcome.frames) == (code, [])
    assert says in outcome.details
    with client_memory() as other:
        good = await upscale(stub, [_config(other.offer), _in_slot(0)])
    assert good.code is grpc.StatusCode.OK
    assert good.frames[0].HasField("slot")


async def test_a_plane_may_not_split_samples(stub: Stub, memory: ClientMemory) -> None:
    config = raw_config(16, 12, pixel_format="gray10le", shared_memory=memory.offer)
    outcome = await upscale(stub, [config, _in_slot(0, stride=32, offset=1)])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "multiple of its samples' 2 bytes, not 1" in outcome.details


@pytest.mark.parametrize("offered", [False, True])
async def test_slots_need_a_mapping(stub: Stub, memory: ClientMemory, offered: bool) -> None:
    config = _config(memory.changed(output_slots=3)) if offered else raw_config(16, 12, pixel_format="gray")
    outcome = await upscale(stub, [config, _in_slot(0)])
    freed = await upscale(stub, [config, pb.UpscaleRequest(frame=raw_frame(0).frame, freed_output_slots=[0])])
    assert outcome.code is freed.code is grpc.StatusCode.FAILED_PRECONDITION
    assert "this stream has none: send planes inline" in outcome.details
    assert "slot 0 is freed, but this stream has no shared memory" in freed.details


async def test_a_picture_alone_has_no_slot(stub: Stub) -> None:
    fmt = pb.VideoFormat(width=16, height=12, pixel_format="gray")
    request = pb.UpscaleImageRequest(model="bicubic_x2", format=fmt, frame=_in_slot(0).frame)
    with pytest.raises(grpc.RpcError) as error_info:
        await stub.UpscaleImage(request)
    assert error_info.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_config_frees_nothing(stub: Stub, memory: ClientMemory) -> None:
    config = _config(memory.offer)
    config.freed_output_slots.append(0)
    outcome = await upscale(stub, [config])
    assert outcome.code is grpc.StatusCode.FAILED_PRECONDITION
    assert "all are free at the start" in outcome.details


@pytest.fixture
def no_collector() -> Iterator[None]:
    """A server that is idle collects no garbage: memory must not wait for that."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["finished", "cancelled", "failed", "broken off"])
async def test_the_mapping_goes_with_the_stream(stub: Stub, memory: ClientMemory, how: str) -> None:
    own = traces(os.getpid())
    call = stub.Upscale()
    await call.write(_config(memory.offer))
    await call.read()
    for i in range(4):
        await call.write(_in_slot(i, i % 2))
    await call.read()
    assert traces(os.getpid()) > own
    await ENDS[how](call)
    assert await comes_true(lambda: traces(os.getpid()) == own)


async def _finish(call: Any) -> None:
    await call.done_writing()
    await rest(call)


async def _fail(call: Any) -> None:
    await call.write(_in_slot(0, 9))


async def _break_off(call: Any) -> None:
    await call.write(_in_slot(2))
    call.cancel()


async def _cancel(call: Any) -> None:
    call.cancel()


ENDS = {"finished": _finish, "failed": _fail, "cancelled": _cancel, "broken off": _break_off}


@pytest.mark.parametrize("flags", [[], ["--no-shared-memory"]])
def test_it_is_switched_off_by_a_flag(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    values = []

    async def serve(settings: ServerSettings, **_: Any) -> None:
        values.append(settings.shared_memory)

    monkeypatch.setattr(command, "serve", serve)
    app = typer.Typer()
    app.command()(command.esr_serve)
    assert CliRunner().invoke(app, flags).exit_code == 0
    assert values == [not flags]
