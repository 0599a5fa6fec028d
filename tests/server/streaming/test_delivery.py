"""Frames that come faster than they can be upscaled: every one is delivered, dropped with its reason, or waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.app import Server
from esr_server.errors import ConfigError
from esr_server.streaming.delivery import Delivery, DeliveryPolicy, DropReason, FrameClock, gate
from esr_upscale.frame import Frame
from esr_upscale.models import Source
from esr_upscale.plane_kernel import PlaneAllocator, own_memory
from esr_upscale.upscaler import Upscaled, Upscaler
from tests.support.calls import Stub, raw_config, raw_frame, stub_of, upscale
from tests.support.server import running
from tests.support.waiting import comes_true

LATEST = pb.Delivery(policy=pb.DELIVERY_POLICY_LATEST)


def deadline(seconds: float) -> pb.Delivery:
    return pb.Delivery(policy=pb.DELIVERY_POLICY_DEADLINE, deadline_s=seconds)


class HeldUpscaler:
    """A test double for a slow model: the real upscaler, which holds every frame until it is let go."""

    def __init__(self, real: Upscaler) -> None:
        self.scale = real.scale
        self._real = real
        self.started = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)

    def __call__(
        self, frame: Frame, memory: PlaneAllocator = own_memory, concurrency: int = 1, source: Source | None = None
    ) -> Upscaled:
        self.started.release()
        assert self.let_go.acquire(timeout=20)
        return self._real(frame, memory, concurrency, source)


@asynccontextmanager
async def holding_server() -> AsyncIterator[tuple[Server, Stub, HeldUpscaler]]:
    """A server whose only model holds its frames."""
    async with running() as server, stub_of(server) as stub:
        model = server.models.get("bicubic_x2").model
        upscaler = HeldUpscaler(model.upscaler)
        model.upscaler = upscaler  # type: ignore[assignment]
        yield server, stub, upscaler


async def _wait_until_started(upscaler: HeldUpscaler) -> None:
    assert await asyncio.to_thread(upscaler.started.acquire, timeout=20)


async def _answers(call: Any) -> list[tuple[str, int, int]]:
    """Each answer as (kind, sequence, pts)."""
    answers = []
    while (response := await asyncio.wait_for(call.read(), 20)) is not grpc.aio.EOF:
        kind = response.WhichOneof("payload")
        if kind in ("frame", "dropped"):
            value = getattr(response, kind)
            answers.append((kind, value.sequence, value.pts))
        elif kind == "statistics":
            statistics = response.statistics
            assert statistics.frames_in == statistics.frames_out + statistics.frames_dropped + statistics.frames_failed
            assert statistics.frames_dropped == sum(kind == "dropped" for kind, *_ in answers)
    return answers


async def _settled(server: Server, received: int) -> None:
    """Wait until the server has taken so many frames of 16×12 in."""
    value = server.metrics.registry.get_sample_value
    assert await comes_true(lambda: value("esr_received_bytes_total") == received * 288)


async def _burst(
    server: Server, stub: Stub, upscaler: HeldUpscaler, config: pb.UpscaleRequest
) -> list[tuple[str, int, int]]:
    """The answers to six frames, of which five come while the first is being upscaled; two will be."""
    call = stub.Upscale()
    await call.write(config)
    await call.write(raw_frame(0))
    await _wait_until_started(upscaler)
    for number in range(1, 6):
        await call.write(raw_frame(number))
    await _settled(server, 6)
    for _ in range(2):
        upscaler.let_go.release()
    await call.done_writing()
    return await _answers(call)


async def test_latest_delivers_the_newest_and_answers_all() -> None:
    async with holding_server() as (server, stub, upscaler):
        answers = await _burst(server, stub, upscaler, raw_config(delivery=LATEST))
        dropped = server.metrics.registry.get_sample_value("esr_frames_dropped_total", {"reason": "superseded"})
    assert answers == [("frame", 0, 1), *(("dropped", n, 2 * n + 1) for n in range(1, 5)), ("frame", 5, 11)]
    assert dropped == 4


async def test_lossless_delivers_every_frame() -> None:
    async with holding_server() as (_, stub, upscaler):
        call = stub.Upscale()
        await call.write(raw_config())
        await call.write(raw_frame(0))
        await _wait_until_started(upscaler)
        for number in range(1, 4):
            await call.write(raw_frame(number))
        for _ in range(4):
            upscaler.let_go.release()
        await call.done_writing()
        assert await _answers(call) == [("frame", n, 2 * n + 1) for n in range(4)]


async def test_a_late_frame_is_dropped_before_any_work() -> None:
    async with holding_server() as (server, stub, upscaler):
        call = stub.Upscale()
        await call.write(raw_config(delivery=deadline(0.15)))
        await call.write(raw_frame(0))
        await _wait_until_started(upscaler)
        await call.write(raw_frame(1))
        await _settled(server, 2)
        late_s = time.perf_counter() + 0.2
        assert await comes_true(lambda: time.perf_counter() > late_s)
        upscaler.let_go.release()
        assert not await asyncio.to_thread(upscaler.started.acquire, timeout=0.05)
        await call.write(raw_frame(2))
        upscaler.let_go.release()
        await call.done_writing()
        assert await _answers(call) == [("frame", 0, 1), ("dropped", 1, 3), ("frame", 2, 5)]
        late = server.metrics.registry.get_sample_value("esr_frames_dropped_total", {"reason": "late"})
    assert late == 1


async def test_a_deadline_that_none_can_meet_drops_all() -> None:
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(delivery=deadline(1e-7)), *map(raw_frame, range(8))])
    assert outcome.code is grpc.StatusCode.OK
    assert outcome.statistics is not None
    assert (outcome.statistics.frames_dropped, outcome.statistics.frames_out) == (8, 0)


async def test_delivery_is_negotiated() -> None:
    async with running() as server, stub_of(server) as stub:
        lossless = await upscale(stub, [raw_config()])
        timely = await upscale(stub, [raw_config(delivery=deadline(0.5))])
    assert lossless.negotiated is not None
    assert lossless.negotiated.delivery == pb.Delivery(policy=pb.DELIVERY_POLICY_LOSSLESS)
    assert timely.negotiated is not None
    assert timely.negotiated.delivery == deadline(0.5)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (deadline(0), "a number of seconds above 0"),
        (deadline(-1), "a number of seconds above 0"),
        (deadline(float("nan")), "a number of seconds above 0"),
        (pb.Delivery(policy=9), "unknown delivery policy 9; choose one of LOSSLESS, LATEST, DEADLINE"),  # type: ignore[arg-type]
    ],
    ids=["none", "negative", "not a number", "no such policy"],
)
async def test_a_delivery_that_cannot_be(bad: pb.Delivery, says: str) -> None:
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(delivery=bad)])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert says in outcome.details


def test_a_deadline_has_to_be_a_time() -> None:
    with pytest.raises(ConfigError, match="seconds above 0"):
        Delivery(DeliveryPolicy.DEADLINE)


def test_gates() -> None:
    waits = False
    latest = gate(Delivery(DeliveryPolicy.LATEST), lambda: waits)
    assert latest(0.0, 1.0) is None
    waits = True
    assert latest(0.0, 1.0) is DropReason.SUPERSEDED
    assert gate(Delivery(), lambda: True)(0.0, 1e9) is None


def test_frames_over_the_rate_are_due_later() -> None:
    pacer = FrameClock(10.0)
    assert [pacer.due_s(5.0), pacer.due_s(5.0), pacer.due_s(5.0)] == pytest.approx([5.1, 5.2, 5.3])
    assert pacer.due_s(9.0) == pytest.approx(9.1)
    assert FrameClock(None).due_s(5.0) == float("inf")
    assert FrameClock(10.0, 0.02).due_s(5.0) == pytest.approx(5.02)


def test_which_frames_exceed_the_declared_rate() -> None:
    for pacer in (FrameClock(10.0), FrameClock(10.0, 0.02)):
        punctual = [number * 0.1 + jitter for number, jitter in enumerate((0.0, 0.03, -0.04, 0.05, -0.05))]
        assert not any(pacer.exceeds(at, pacer.due_s(at)) for at in punctual)
        burst = [pacer.exceeds(9.0, pacer.due_s(9.0)) for _ in range(5)]
        assert (burst[:2], burst[3:]) == ([False, False], [True, True])
    assert not FrameClock(None).exceeds(5.0, float("inf"))


async def test_dropped_excess_says_nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    late_flags: list[bool] = []
    async with holding_server() as (server, stub, upscaler):
        monkeypatch.setattr(server.capacity, "delivered", lambda *, late: late_flags.append(late))
        config = raw_config(delivery=LATEST, target_fps=pb.Rational(num=1, den=10))
        answers = await _burst(server, stub, upscaler, config)
    assert [kind for kind, *_ in answers] == ["frame", *["dropped"] * 4, "frame"]
    # The first came in its time, and two a frame time or two early; the others are more than was declared.
    assert late_flags == [False, True, True]
