"""Several frames in one response: where they may wait for each other, and where not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.rpc import upscale as rpc_upscale
from esr_upscale.frame import Frame
from esr_upscale.models import Source
from esr_upscale.plane_kernel import PlaneAllocator, own_memory
from esr_upscale.upscaler import Upscaled, Upscaler
from tests.support.calls import raw_config, raw_frame, rest, stub_of
from tests.support.server import running
from tests.support.shared_memory import ClientMemory, client_memory
from tests.support.waiting import comes_true


class TurnedUpscaler:
    """A test double for a model that takes its time: the real upscaler, which ends a frame when its turn is called."""

    def __init__(self, real: Upscaler) -> None:
        self.scale = real.scale
        self._real = real
        self.turns = [threading.Event() for _ in range(8)]
        self.started = threading.Semaphore(0)

    def __call__(
        self, frame: Frame, memory: PlaneAllocator = own_memory, concurrency: int = 1, source: Source | None = None
    ) -> Upscaled:
        assert frame.pts is not None
        self.started.release()
        assert self.turns[frame.pts].wait(20)
        return self._real(frame, memory, concurrency, source)


@asynccontextmanager
async def _turned(
    memory: ClientMemory, **config: Any
) -> AsyncIterator[tuple[list[threading.Event], Callable[[], Any]]]:
    """Four frames on their way to a model, whose turns the test calls, and what reads a response's numbers."""
    async with running() as server, stub_of(server) as stub:
        model = server.models.get("bicubic_x2").model
        upscaler = TurnedUpscaler(model.upscaler)
        model.upscaler = upscaler  # type: ignore[assignment]
        call = stub.Upscale()
        await call.write(raw_config(16, 12, pixel_format="gray", shared_memory=memory.offer, **config))
        assert (await call.read()).negotiated.shared_memory
        for i in range(4):
            await call.write(raw_frame(i, name="gray", pts=i))
        value = server.metrics.registry.get_sample_value
        assert await comes_true(lambda: value("esr_received_bytes_total") == 4 * 16 * 12)
        assert await asyncio.to_thread(upscaler.started.acquire, timeout=20)

        async def numbers() -> list[int]:
            response = await call.read()
            return [frame.sequence for frame in (response.frame, *response.more_frames)]

        yield upscaler.turns, numbers
        for turn in upscaler.turns:
            turn.set()
        await call.done_writing()
        assert (await rest(call)).code is grpc.StatusCode.OK


async def test_frames_share_a_response_while_others_are_made() -> None:
    with client_memory((4, 4)) as memory:
        async with _turned(memory, frames_per_response=3) as (turns, numbers):
            reading = asyncio.create_task(numbers())
            for turn in turns[:2]:
                turn.set()
                assert not (await asyncio.wait([reading], timeout=0.1))[0]
            turns[2].set()
            assert await asyncio.wait_for(reading, 10) == [0, 1, 2]
            turns[3].set()
            assert await asyncio.wait_for(numbers(), 10) == [3]


@pytest.mark.parametrize(
    ("config", "held_s"),
    [
        ({}, 9.0),
        ({"frames_per_response": 3, "target_fps": pb.Rational(num=25, den=1)}, 9.0),
        ({"frames_per_response": 3, "delivery": pb.Delivery(policy=pb.DELIVERY_POLICY_LATEST)}, 9.0),
        ({"frames_per_response": 3}, 0.0),
    ],
    ids=["not asked for", "rate", "latest", "slow model"],
)
async def test_a_frame_goes_alone_where_it_must_not_wait(
    config: dict[str, Any], held_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_upscale, "MAX_BATCH_DELAY_S", held_s)
    with client_memory((4, 4)) as memory:
        async with _turned(memory, **config) as (turns, numbers):
            turns[0].set()
            assert await asyncio.wait_for(numbers(), 10) == [0]
