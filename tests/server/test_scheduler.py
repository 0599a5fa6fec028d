"""Who runs and who waits, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from esr_server import scheduler as scheduler_module
from esr_server.config import SchedulerSettings
from esr_server.delivery import Gate
from esr_server.errors import BusyError, DrainingError, ProtocolError, StageDiedError
from esr_server.scheduler import Scheduler
from esr_server.session import Arrival, Result, StageSeconds, StreamStatistics
from esr_server.stream import Stream
from esr_upscale.packet import Packet


def _arrival(number: int) -> Arrival:
    return Arrival(Packet(b""), number, 0.0)


class Echo:
    """A session that answers each item with itself, and flushes one more."""

    statistics = StreamStatistics()
    is_frame_to_frame = False

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result]:
        yield Result(arrival.item, arrival.sequence, 0.0, StageSeconds())

    def begin(self, arrival: Arrival, gate: Gate) -> Callable[[], Result]:
        return lambda: next(self.push(arrival, gate))

    def settle(self, result: Result) -> None:
        """Nothing to count."""

    def flush(self, gate: Gate) -> Iterator[Result]:
        yield Result(Packet(b"last"), -1, 0.0, StageSeconds())

    def close(self) -> None:
        """Nothing to release."""


class Broken(Echo):
    """Fails at item 2, after a first result of it."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result]:
        yield from super().push(arrival, gate)
        if arrival.sequence == 2:
            raise self._error


class Pairs(Echo):
    """Answers each item at once: its work ends only when that of a neighbour has begun."""

    is_frame_to_frame = True

    def __init__(self) -> None:
        self.settled: list[int] = []
        self._meeting = threading.Barrier(2)

    def begin(self, arrival: Arrival, gate: Gate) -> Callable[[], Result]:
        if arrival.sequence == 6:
            raise ProtocolError("six is not a number")

        def work() -> Result:
            self._meeting.wait(10)
            return Result(arrival.item, arrival.sequence, 0.0, StageSeconds())

        return work

    def settle(self, result: Result) -> None:
        self.settled.append(result.sequence)


@contextmanager
def _scheduler(**settings: int) -> Iterator[Scheduler]:
    scheduler = Scheduler(SchedulerSettings(**settings))
    try:
        yield scheduler
    finally:
        scheduler.close()


async def _collect(stream: Stream, into: list[int]) -> None:
    async for results in stream.results():
        into += [result.sequence for result in results]


async def _feed(stream: Stream, count: int) -> None:
    for number in range(count):
        await stream.put(_arrival(number))


async def test_results_come_in_order_and_the_flush_last() -> None:
    got: list[int] = []
    with _scheduler() as scheduler, scheduler.stream(Echo()) as stream:
        stream.start(lambda: _feed(stream, 20))
        await _collect(stream, got)
        await stream.close()
    assert got == [*range(20), -1]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(RuntimeError("broken"), RuntimeError), (MemoryError(), MemoryError), (SystemExit(3), StageDiedError)],
    ids=repr,
)
async def test_a_stage_that_dies_ends_the_stream_behind_its_good_results(
    error: BaseException, raised: type[Exception]
) -> None:
    got: list[int] = []
    with _scheduler() as scheduler, scheduler.stream(Broken(error)) as stream:
        stream.start(lambda: _feed(stream, 20))
        with pytest.raises(raised):
            await asyncio.wait_for(_collect(stream, got), 5)
        await stream.close()
    assert got == [0, 1, 2]


async def test_frames_that_stand_alone_are_worked_on_two_at_a_time_and_answered_in_order() -> None:
    got: list[int] = []
    session = Pairs()
    with _scheduler(workers=2) as scheduler, scheduler.stream(session) as stream:
        assert scheduler.concurrency == 0
        stream.start(lambda: _feed(stream, 20))
        with pytest.raises(ProtocolError):
            await asyncio.wait_for(_collect(stream, got), 10)
        await stream.close()
    assert got == session.settled == [0, 1, 2, 3, 4, 5]


async def test_a_reader_that_fails_ends_the_stream_behind_what_it_read() -> None:
    got: list[int] = []
    with _scheduler() as scheduler, scheduler.stream(Echo()) as stream:

        async def read() -> None:
            await _feed(stream, 5)
            raise ConnectionError("gone")

        stream.start(read)
        with pytest.raises(ConnectionError):
            await _collect(stream, got)
        await stream.close()
    assert got == [0, 1, 2, 3, 4]


async def test_a_writer_that_does_not_take_makes_the_reader_wait() -> None:
    put = 0
    with _scheduler(queue_items=2) as scheduler, scheduler.stream(Echo()) as stream:

        async def read() -> None:
            nonlocal put
            for number in range(100):
                await stream.put(_arrival(number))
                put += 1

        stream.start(read)
        await asyncio.sleep(0.2)
        held = put
        got: list[int] = []
        await _collect(stream, got)
        await stream.close()
    assert held <= 2 + 2 + 1  # two queues, and the one between them
    assert len(got) == 101


async def test_streams_share_the_threads_frame_by_frame() -> None:
    """A long stream must not keep a short one waiting until its end."""
    long_done: list[int] = []
    short_done: list[int] = []
    with _scheduler(workers=1) as scheduler, scheduler.stream(Echo()) as long, scheduler.stream(Echo()) as short:
        long.start(lambda: _feed(long, 2000))
        short.start(lambda: _feed(short, 5))
        running = asyncio.create_task(_collect(long, long_done))
        await _collect(short, short_done)
        assert len(long_done) < 200
        running.cancel()
        await asyncio.gather(long.close(), short.close())


async def test_no_more_streams_than_places() -> None:
    with _scheduler(max_streams=2) as scheduler, scheduler.admit():
        with scheduler.admit(), pytest.raises(BusyError, match="all 2 streams"), scheduler.admit():
            pytest.fail("admitted")
        with scheduler.admit():
            assert scheduler.active == 2


async def test_when_no_stream_has_run_for_a_while_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "_REST_S", 0.1)
    said = threading.Semaphore(0)
    scheduler = Scheduler(SchedulerSettings(), at_rest=said.release)
    for _ in range(3):
        with scheduler.admit():
            await asyncio.sleep(0.01)
    with scheduler.admit():
        await asyncio.sleep(0.2)
    assert not said.acquire(blocking=False)
    assert await asyncio.to_thread(said.acquire, timeout=5)
    assert not await asyncio.to_thread(said.acquire, timeout=0.2)
    scheduler.close()


async def test_draining_refuses_new_streams_and_waits_for_the_running_ones() -> None:
    with _scheduler() as scheduler:
        with scheduler.admit():
            draining = asyncio.create_task(scheduler.drain(5))
            await asyncio.sleep(0)
            with pytest.raises(DrainingError, match="try again"), scheduler.admit():
                pytest.fail("admitted")
            assert not draining.done()
        assert await draining


async def test_what_does_not_finish_in_time_fails() -> None:
    with _scheduler() as scheduler, scheduler.admit(), scheduler.stream(Echo()) as stream:
        stream.start(lambda: asyncio.sleep(60))
        waiting = asyncio.create_task(_collect(stream, []))
        assert not await scheduler.drain(0.05)
        with pytest.raises(DrainingError, match=r"not finished in 0.05 s"):
            await asyncio.wait_for(waiting, 5)
        await stream.close()


async def test_closing_leaves_no_task_and_no_thread_at_work() -> None:
    release = threading.Event()

    class Slow(Echo):
        def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result]:
            release.wait(5)
            yield from super().push(arrival, gate)

    with _scheduler(workers=1) as scheduler, scheduler.stream(Slow()) as stream:
        stream.start(lambda: _feed(stream, 5))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(stream.close(), 1)
        release.set()
        work: Callable[[], int] = lambda: 7  # noqa: E731
        assert await asyncio.wait_for(scheduler.run(work), 5) == 7
    assert len(asyncio.all_tasks()) == 1
