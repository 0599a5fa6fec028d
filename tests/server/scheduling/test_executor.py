"""Threads that do what is due first."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest

from esr_server.scheduling.executor import DeadlineExecutor, StreamExecutor


@pytest.fixture
def busy() -> Iterator[tuple[DeadlineExecutor, threading.Event]]:
    """An executor of one thread, which is held up until the event is set."""
    executor = DeadlineExecutor(1)
    release = threading.Event()
    started = threading.Event()

    def hold() -> None:
        started.set()
        release.wait(10)

    executor.submit(hold, 0.0)
    assert started.wait(10)
    yield executor, release
    release.set()
    executor.close()


def test_what_is_due_first_runs_first(busy: tuple[DeadlineExecutor, threading.Event]) -> None:
    executor, release = busy
    ran: list[str] = []
    jobs = [("last", math.inf), ("third", 3.0), ("first", 1.0), ("very last", math.inf), ("second", 2.0)]
    futures = [executor.submit(lambda name=name: ran.append(name), due) for name, due in jobs]  # type: ignore[misc]
    release.set()
    for future in futures:
        future.result(10)
    assert ran == ["first", "second", "third", "last", "very last"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(2)], ids=repr)
def test_what_work_raises_is_for_the_one_who_waits(error: BaseException) -> None:
    def fail() -> None:
        raise error

    executor = DeadlineExecutor(1)
    with pytest.raises(type(error)):
        executor.submit(fail, 0.0).result(10)
    assert executor.submit(lambda: 7, 0.0).result(10) == 7
    executor.close()


def test_a_job_that_was_cancelled_does_not_run(busy: tuple[DeadlineExecutor, threading.Event]) -> None:
    executor, release = busy
    ran: list[int] = []
    future = executor.submit(lambda: ran.append(1), 0.0)
    assert future.cancel()
    release.set()
    assert executor.submit(lambda: 2, 9.0).result(10) == 2
    assert ran == []


def test_closing_cancels_what_waits_and_takes_no_more(busy: tuple[DeadlineExecutor, threading.Event]) -> None:
    executor, _ = busy
    waiting = executor.submit(lambda: 1, 0.0)
    executor.close()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(lambda: 1, 0.0)


def test_a_stream_of_one_at_a_time_keeps_its_order() -> None:
    executor = DeadlineExecutor(4)
    stream, others = StreamExecutor(executor, 1), StreamExecutor(executor, 1)
    ran: list[int] = []
    at_once = [0, 0]

    def work(number: int) -> int:
        at_once[0] += 1
        at_once[1] = max(at_once)
        ran.append(number)
        at_once[0] -= 1
        return number

    # Due times that would turn the order round, were it not one stream.
    futures = [stream.submit(lambda n=n: work(n), -n) for n in range(200)]  # type: ignore[misc]
    assert others.submit(lambda: "another", 0.0).result(10) == "another"
    assert [future.result(10) for future in futures] == ran == list(range(200))
    assert at_once[1] == 1
    executor.close()


def test_a_stream_of_two_at_a_time_begins_in_order() -> None:
    executor = DeadlineExecutor(4)
    stream, order = StreamExecutor(executor, 2), list[int]()
    gates = [threading.Event() for _ in range(4)]
    started = threading.Semaphore(0)

    def work(number: int) -> int:
        order.append(number)
        started.release()
        gates[number].wait(10)
        return number

    assert executor.jobs == 0
    futures = [stream.submit(lambda n=n: work(n), -n) for n in range(4)]  # type: ignore[misc]
    for _ in range(2):
        assert started.acquire(timeout=10)
    assert (sorted(order), executor.jobs) == ([0, 1], 2)
    gates[1].set()
    assert futures[1].result(10) == 1
    assert started.acquire(timeout=10)
    assert order[2] == 2
    assert not futures[0].done()
    for event in gates:
        event.set()
    assert [future.result(10) for future in futures] == [0, 1, 2, 3]
    executor.close()


def test_a_closed_stream_begins_nothing_more(busy: tuple[DeadlineExecutor, threading.Event]) -> None:
    executor, release = busy
    stream, ran = StreamExecutor(executor, 1), list[str]()
    first = stream.submit(lambda: ran.append("first"), 0.0)
    behind = [stream.submit(lambda: ran.append("behind"), 0.0) for _ in range(3)]
    stream.close()
    release.set()
    first.result(10)
    assert StreamExecutor(executor, 1).submit(lambda: "another", 1.0).result(10) == "another"
    assert all(future.cancelled() for future in behind)
    assert stream.submit(lambda: ran.append("later"), 0.0).cancelled()
    assert ran == ["first"]
