"""Work that is handed out ahead: in order, bounded, and gone with its stream."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from esr_server.ahead import Ahead
from esr_server.executor import DeadlineExecutor, Lane


@pytest.fixture
def executor() -> Iterator[DeadlineExecutor]:
    executor = DeadlineExecutor(2)
    yield executor
    executor.close()


async def test_results_come_in_order_and_no_more_is_handed_out_than_was_sent(executor: DeadlineExecutor) -> None:
    got: list[int] = []
    ahead: Ahead[int] = Ahead(Lane(executor), 3, lambda future: got.append(future.result()))

    async def hand_out() -> None:
        for number in range(20):
            await ahead.room()
            ahead.submit(lambda number=number: number, 0.0)  # type: ignore[misc]

    task = asyncio.create_task(hand_out())
    await asyncio.sleep(0.05)
    assert got == [0, 1, 2]
    for sent in range(1, 21):
        ahead.sent()
        await asyncio.sleep(0.005)
        assert len(got) <= sent + 3
    await task
    await ahead.idle()
    assert got == list(range(20))


async def test_what_ends_first_waits_for_what_was_handed_out_before(executor: DeadlineExecutor) -> None:
    got: list[int] = []
    held, second = threading.Event(), threading.Event()
    ahead: Ahead[int] = Ahead(Lane(executor, 2), 4, lambda future: got.append(future.result()))

    def first() -> int:
        assert held.wait(10)
        return 1

    def then() -> int:
        second.set()
        return 2

    ahead.submit(first, 0.0)
    ahead.submit(then, 0.0)
    assert await asyncio.to_thread(second.wait, 10)
    await asyncio.sleep(0.05)
    assert got == []
    held.set()
    await asyncio.wait_for(ahead.idle(), 10)
    assert got == [1, 2]


async def test_behind_an_error_all_is_cancelled(executor: DeadlineExecutor) -> None:
    got: list[Future[int]] = []
    held = threading.Event()
    ahead: Ahead[int] = Ahead(Lane(executor), 3, got.append)
    ahead.submit(lambda: held.wait(10) and 1 // 0, 0.0)
    for _ in range(2):
        ahead.submit(lambda: 1, 0.0)
    held.set()
    await asyncio.wait_for(ahead.idle(), 10)
    assert isinstance(got[0].exception(), ZeroDivisionError)
    assert [future.cancelled() for future in got] == [False, True, True]


class Held:
    """Something large that work has in its hands."""


async def test_after_the_end_nothing_comes_and_nothing_is_held(executor: DeadlineExecutor) -> None:
    got: list[Future[int]] = []
    held, begun = threading.Event(), threading.Event()
    things: list[weakref.ref[Held]] = []

    def fail() -> int:
        thing = Held()
        things.append(weakref.ref(thing))
        begun.set()
        held.wait(10)
        raise ValueError(f"with {thing} in its hands")

    ahead: Ahead[int] = Ahead(Lane(executor), 3, got.append)
    ahead.submit(fail, 0.0)
    assert await asyncio.to_thread(begun.wait, 10)
    gc.disable()
    try:
        ahead.close()
        held.set()
        for _ in range(200):
            if things[0]() is None:
                break
            await asyncio.sleep(0.01)
        assert things[0]() is None
    finally:
        gc.enable()
    assert not got
