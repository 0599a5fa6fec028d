"""Queues that are bounded, and what is left of an item that was dropped from one."""

from __future__ import annotations

import asyncio

import pytest

from esr_server.streaming.queue import DroppingQueue
from tests.support.waiting import keeps_waiting


def _even_may_go(item: int) -> int | None:
    return -item if item % 2 == 0 else None


async def test_who_puts_one_more_waits() -> None:
    queue: DroppingQueue[int] = DroppingQueue(2)
    await queue.put(1)
    await queue.put(2)
    third = asyncio.create_task(queue.put(3))
    assert await keeps_waiting(third)
    assert [await queue.get(), await queue.get(), await queue.get()] == [1, 2, 3]
    assert third.done()


async def test_who_takes_waits_for_an_item() -> None:
    queue: DroppingQueue[int] = DroppingQueue(1)
    get_task = asyncio.create_task(queue.get())
    assert await keeps_waiting(get_task)
    await queue.put(4)
    assert await asyncio.wait_for(get_task, 5) == 4


async def test_the_oldest_that_may_go_leaves_a_marker() -> None:
    queue: DroppingQueue[int] = DroppingQueue(2, _even_may_go)
    for item in (1, 2, 4, 6):
        await queue.put(item)
    assert len(queue) == 2
    assert [await queue.get() for _ in range(4)] == [1, -2, -4, 6]


async def test_where_nothing_may_go_one_waits_all_the_same() -> None:
    queue: DroppingQueue[int] = DroppingQueue(1, _even_may_go)
    await queue.put(1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.put(2), 0.02)
    assert await queue.get() == 1


async def test_what_does_not_count_needs_no_room() -> None:
    queue: DroppingQueue[int] = DroppingQueue(1)
    await queue.put(1)
    queue.append(2, counts=False)
    assert (len(queue), await queue.get(), await queue.get()) == (1, 1, 2)


async def test_clearing_makes_room() -> None:
    queue: DroppingQueue[int] = DroppingQueue(1)
    await queue.put(1)
    second = asyncio.create_task(queue.put(2))
    assert await keeps_waiting(second)
    queue.clear()
    await asyncio.wait_for(second, 5)
    assert await queue.get() == 2


async def test_of_markers_there_are_not_too_many_either() -> None:
    queue: DroppingQueue[int] = DroppingQueue(1, _even_may_go, markers=2)
    for item in (2, 4, 6):
        await queue.put(item)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.put(8), 0.02)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.put_marker(-1), 0.02)
    assert [await queue.get() for _ in range(3)] == [-2, -4, 6]
    assert len(queue) == 0
