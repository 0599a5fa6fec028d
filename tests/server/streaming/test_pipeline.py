"""One stream's pipeline on real threads: in order, bounded, every frame accounted for, and gone with its stream."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from esr_media.packet import Packet
from esr_server.config import SchedulerSettings
from esr_server.errors import DrainingError, LostFrameError, ProtocolError, StageDiedError
from esr_server.scheduling.scheduler import Scheduler
from esr_server.streaming.delivery import Delivery, DeliveryPolicy, Dropped, DropReason, Gate
from esr_server.streaming.items import Arrival, CodecStep, Result, StageSeconds
from esr_server.streaming.pipeline import StreamPipeline
from esr_upscale.frame import Frame, pixel_format
from tests.support.frames import noise_planes
from tests.support.waiting import comes_true, keeps_waiting


class Echo:
    """Stages that answer each item with itself, and flush one more."""

    is_frame_to_frame = False
    frames_in = packets_in = packets_skipped = 0

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
        self.frames_in += 1
        yield _result(arrival)

    def is_slow_to_take(self, arrival: Arrival) -> bool:
        return False

    def drop(self, arrival: Arrival) -> Result:
        self.frames_in += 1
        return _result(arrival)

    def flush(self, gate: Gate) -> Iterator[Result | CodecStep]:
        self.frames_in += 1
        yield Result(Packet(b"last"), -1, 0.0, StageSeconds(), model="m")

    def interrupt(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to release."""


class FrameEcho(Echo):
    """Stages of a stream without codecs: each item gives one result, and nothing is flushed."""

    is_frame_to_frame = True

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
        self.frames_in += 1
        return self.steps(arrival)

    def steps(self, arrival: Arrival) -> Iterator[Result | CodecStep]:
        yield _result(arrival)

    def flush(self, gate: Gate) -> Iterator[Result | CodecStep]:
        yield from ()


def _result(arrival: Arrival) -> Result:
    return Result(arrival.item, arrival.sequence, 0.0, StageSeconds(luma=1.0), model="m")


def _arrival(number: int) -> Arrival:
    return Arrival(Packet(b""), number, 0.0)


def _frame(number: int) -> Arrival:
    fmt = pixel_format("gray")
    return Arrival(Frame(fmt, 4, 4, noise_planes(fmt, 4, 4, number), pts=number), number, 0.0)


@asynccontextmanager
async def _running(
    *stages: Echo, policy: DeliveryPolicy = DeliveryPolicy.LOSSLESS, **settings: int
) -> AsyncIterator[tuple[StreamPipeline, ...]]:
    """A pipeline for each of the stages, on the threads of one scheduler."""
    of_scheduler = SchedulerSettings(**settings)
    scheduler = Scheduler(of_scheduler)
    delivery = Delivery(policy, 60.0 if policy is DeliveryPolicy.DEADLINE else math.inf)
    pipelines = tuple(
        StreamPipeline(
            each, scheduler.stream_executor(), scheduler.encoders, of_scheduler, delivery, evicts=each.is_frame_to_frame
        )
        for each in stages
    )
    try:
        yield pipelines
    finally:
        for pipeline in pipelines:
            await pipeline.close()
        scheduler.close()


async def _collect(pipeline: StreamPipeline, into: list[int]) -> None:
    async for results in pipeline.results():
        into += [result.sequence for result in results]


async def _feed(pipeline: StreamPipeline, count: int) -> None:
    for number in range(count):
        await pipeline.put(_arrival(number))


@pytest.mark.parametrize("stages", [Echo(), FrameEcho()], ids=lambda s: type(s).__name__)
async def test_results_come_in_order_and_are_counted(stages: Echo) -> None:
    numbers: list[int] = []
    async with _running(stages) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 20))
        await _collect(pipeline, numbers)
        stats = pipeline.statistics
    assert numbers == [*range(20)] + ([] if stages.is_frame_to_frame else [-1])
    assert (stats.frames_in, stats.frames_out, stats.packets_out) == (len(numbers), len(numbers), len(numbers))
    assert (stats.frames_lost, stats.model_switches) == (0, 0)
    assert stats.stages.luma == 20.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [(RuntimeError("broken"), RuntimeError), (MemoryError(), MemoryError), (SystemExit(3), StageDiedError)],
    ids=repr,
)
@pytest.mark.parametrize("base", [Echo, FrameEcho])
async def test_a_stage_that_dies_ends_the_stream_in_order(
    base: type[Echo], error: BaseException, expected: type[Exception]
) -> None:
    class Broken(base):  # type: ignore[misc, valid-type]
        """Fails at item 3."""

        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            steps: Iterator[Result | CodecStep] = super().push(arrival, gate)
            return self.broken() if arrival.sequence == 3 else steps

        def broken(self) -> Iterator[Result | CodecStep]:
            raise error
            yield

    numbers: list[int] = []
    async with _running(Broken()) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 20))
        with pytest.raises(expected):
            await asyncio.wait_for(_collect(pipeline, numbers), 5)
    assert numbers == [0, 1, 2]


async def test_frames_without_codecs_are_upscaled_in_pairs() -> None:
    class Pairs(FrameEcho):
        """The work of each item ends only when that of a neighbour has begun."""

        def __init__(self) -> None:
            self.meeting = threading.Barrier(2)

        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            if arrival.sequence == 6:
                raise ProtocolError("six is not a number")
            return super().push(arrival, gate)

        def steps(self, arrival: Arrival) -> Iterator[Result | CodecStep]:
            self.meeting.wait(10)
            yield _result(arrival)

    numbers: list[int] = []
    async with _running(Pairs(), workers=2) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 20))
        with pytest.raises(ProtocolError):
            await asyncio.wait_for(_collect(pipeline, numbers), 10)
        assert pipeline.statistics.frames_out == 6
    assert numbers == [0, 1, 2, 3, 4, 5]


async def test_what_ends_first_waits_for_what_came_before() -> None:
    release, second = threading.Event(), threading.Event()

    class Turned(FrameEcho):
        def steps(self, arrival: Arrival) -> Iterator[Result | CodecStep]:
            if arrival.sequence == 0:
                assert release.wait(10)
            second.set()
            yield _result(arrival)

    numbers: list[int] = []
    async with _running(Turned(), workers=2) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 2))
        collecting = asyncio.create_task(_collect(pipeline, numbers))
        assert await asyncio.to_thread(second.wait, 10)
        assert not (await asyncio.wait([collecting], timeout=0.05))[0]
        assert numbers == []
        release.set()
        await asyncio.wait_for(collecting, 10)
    assert numbers == [0, 1]


async def test_a_slow_push_runs_on_a_thread_in_order() -> None:
    class SlowToTake(FrameEcho):
        def __init__(self) -> None:
            self.took: list[tuple[int, bool]] = []

        def is_slow_to_take(self, arrival: Arrival) -> bool:
            return arrival.sequence % 3 == 0

        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            self.took.append((arrival.sequence, threading.current_thread() is threading.main_thread()))
            return super().push(arrival, gate)

    numbers: list[int] = []
    stages = SlowToTake()
    async with _running(stages) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 7))
        await _collect(pipeline, numbers)
    assert numbers == list(range(7))
    assert stages.took == [(i, i % 3 > 0) for i in range(7)]


async def test_a_frame_that_a_stage_keeps_is_no_good_end() -> None:
    class Forgetful(Echo):
        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            self.frames_in += 1
            if arrival.sequence != 2:
                yield _result(arrival)

    numbers: list[int] = []
    async with _running(Forgetful()) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 5))
        with pytest.raises(LostFrameError, match="6 frames went in, 5 came out and 0 were dropped"):
            await _collect(pipeline, numbers)
    assert numbers == [0, 1, 3, 4, -1]


async def test_a_result_is_counted_when_it_was_sent() -> None:
    async with _running(FrameEcho()) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 2))
        results = pipeline.results()
        await anext(results)
        assert pipeline.statistics.frames_out == 0
        await anext(results)
        assert pipeline.statistics.frames_out == 1
        await results.aclose()  # as a write that fails does
        assert pipeline.statistics.frames_out == 1
        assert pipeline.statistics.frames_lost == 1


async def test_a_ready_frame_that_is_overtaken_is_dropped() -> None:
    class Counted(FrameEcho):
        def __init__(self) -> None:
            self.step_ends = threading.Semaphore(0)

        def steps(self, arrival: Arrival) -> Iterator[Result | CodecStep]:
            self.step_ends.release()
            yield _result(arrival)

    stages = Counted()
    async with _running(stages, policy=DeliveryPolicy.LATEST) as (pipeline,):

        async def read() -> None:
            for number in range(3):
                await pipeline.put(_frame(number))
                assert await asyncio.to_thread(stages.step_ends.acquire, timeout=10)
            all_made.set()

        all_made = asyncio.Event()
        pipeline.start(read)
        await asyncio.wait_for(all_made.wait(), 10)
        answers = [result async for results in pipeline.results() for result in results]
        stats = pipeline.statistics
    assert [result.sequence for result in answers] == [0, 1, 2]
    assert [result.item for result in answers[:2]] == [Dropped(i, DropReason.SUPERSEDED) for i in range(2)]
    assert (stats.frames_in, stats.frames_out, stats.frames_dropped, stats.stages.luma) == (3, 1, 2, 1.0)


async def test_a_frame_that_waits_for_a_thread_is_overtaken() -> None:
    """The gate, which is asked on the thread, has to know of the frame that came meanwhile."""

    class Gated(FrameEcho):
        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            self.frames_in += 1
            return self.gated(arrival, gate)

        def gated(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            reason = gate(0.0, 0.0)
            assert isinstance(arrival.item, Frame)
            yield replace(_result(arrival), item=Dropped(arrival.item.pts, reason) if reason else arrival.item)

    class Holding(Echo):
        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            started.set()
            assert release.wait(10)
            yield from super().push(arrival, gate)

    started, release, both_put = threading.Event(), threading.Event(), asyncio.Event()
    async with _running(Gated(), Holding(), policy=DeliveryPolicy.LATEST, workers=1) as (pipeline, busy):

        async def read() -> None:
            await pipeline.put(_frame(0))
            assert await comes_true(lambda: pipeline.statistics.frames_in == 1)
            await pipeline.put(_frame(1))
            both_put.set()

        busy.start(lambda: _feed(busy, 1))
        assert await asyncio.to_thread(started.wait, 10)
        pipeline.start(read)
        await asyncio.wait_for(both_put.wait(), 10)
        release.set()
        answers = [result async for results in pipeline.results() for result in results]
    assert [type(result.item) for result in answers] == [Dropped, Frame]


async def test_a_reader_that_fails_ends_the_stream_in_order() -> None:
    numbers: list[int] = []
    async with _running(Echo()) as (pipeline,):

        async def read() -> None:
            await _feed(pipeline, 5)
            raise ConnectionError("gone")

        pipeline.start(read)
        with pytest.raises(ConnectionError):
            await _collect(pipeline, numbers)
    assert numbers == [0, 1, 2, 3, 4]


async def test_what_is_done_between_two_frames() -> None:
    class Noting(FrameEcho):
        def __init__(self) -> None:
            self.steps_taken: list[int] = []

        def steps(self, arrival: Arrival) -> Iterator[Result | CodecStep]:
            self.steps_taken.append(arrival.sequence)
            yield _result(arrival)

    stages, snapshots = Noting(), list[list[int]]()
    async with _running(stages) as (pipeline,):

        async def read() -> None:
            for number in range(4):
                await pipeline.put(_arrival(number))
                await pipeline.call_between(lambda: snapshots.append(list(stages.steps_taken)))

        pipeline.start(read)
        await _collect(pipeline, [])
    assert snapshots == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]


@pytest.mark.parametrize(("stages", "most"), [(Echo(), 2 + 1 + 2), (FrameEcho(), 2 + 1 + 3)], ids=["codec", "frames"])
async def test_a_writer_that_does_not_take_holds_the_reader(stages: Echo, most: int) -> None:
    """In the inbox, between the queues, and in the outbox: no more is taken in until results are taken out."""
    put, quiet = 0, asyncio.Event()
    async with _running(stages, queue_items=2) as (pipeline,):

        async def read() -> None:
            nonlocal put
            for number in range(100):
                putting = asyncio.create_task(pipeline.put(_arrival(number)))
                if not (await asyncio.wait([putting], timeout=0.1))[0]:
                    quiet.set()
                await putting
                put += 1

        pipeline.start(read)
        await asyncio.wait_for(quiet.wait(), 10)
        in_flight = put
        numbers: list[int] = []
        await _collect(pipeline, numbers)
    assert in_flight <= most
    assert len(numbers) == (100 if stages.is_frame_to_frame else 101)


async def test_streams_share_the_threads_frame_by_frame() -> None:
    """A long stream must not keep a short one waiting until its end."""
    long_done: list[int] = []
    short_done: list[int] = []
    async with _running(Echo(), Echo(), workers=1) as (long, short):
        long.start(lambda: _feed(long, 2000))
        short.start(lambda: _feed(short, 5))
        running = asyncio.create_task(_collect(long, long_done))
        await _collect(short, short_done)
        assert len(long_done) < 200
        running.cancel()


async def test_a_stream_can_be_made_to_fail_from_outside() -> None:
    async with _running(Echo()) as (pipeline,):
        pipeline.start(asyncio.Event().wait)  # type: ignore[arg-type]
        waiting = asyncio.create_task(_collect(pipeline, []))
        assert await keeps_waiting(waiting)
        pipeline.fail(DrainingError("the server shut down"))
        with pytest.raises(DrainingError):
            await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("base", [Echo, FrameEcho])
async def test_closing_leaves_no_task_and_no_thread_at_work(base: type[Echo]) -> None:
    started, release, closed = threading.Event(), threading.Event(), threading.Event()

    class Slow(base):  # type: ignore[misc, valid-type]
        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
            return self.slowly(super().push(arrival, gate))

        def slowly(self, steps: Iterator[Result | CodecStep]) -> Iterator[Result | CodecStep]:
            started.set()
            release.wait(5)
            yield from steps

        def close(self) -> None:
            closed.set()

    async with _running(Slow(), workers=1) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 5))
        assert await asyncio.to_thread(started.wait, 5)
        await asyncio.wait_for(pipeline.close(), 1)
        assert closed.is_set() is base.is_frame_to_frame or closed.wait(0.1) is base.is_frame_to_frame
        release.set()
        assert await asyncio.to_thread(closed.wait, 5)
    assert len(asyncio.all_tasks()) == 1


class Payload:
    """Something large that work has in its hands."""


async def test_after_the_end_nothing_is_held() -> None:
    release, started = threading.Event(), threading.Event()
    things: list[weakref.ref[Payload]] = []

    class Failing(FrameEcho):
        def steps(self, arrival: Arrival) -> Iterator[Result | CodecStep]:
            thing = Payload()
            things.append(weakref.ref(thing))
            started.set()
            release.wait(10)
            raise ValueError(f"with {thing} in its hands")
            yield

    async with _running(Failing()) as (pipeline,):
        pipeline.start(lambda: _feed(pipeline, 1))
        assert await asyncio.to_thread(started.wait, 10)
        gone = asyncio.Event()
        weakref.finalize(things[0](), asyncio.get_running_loop().call_soon_threadsafe, gone.set)
        gc.disable()
        try:
            await pipeline.close()
            release.set()
            await asyncio.wait_for(gone.wait(), 10)
        finally:
            gc.enable()
