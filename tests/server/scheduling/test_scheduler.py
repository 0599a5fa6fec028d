"""Who runs and who waits, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from esr_server.config import SchedulerSettings
from esr_server.errors import BusyError, DrainingError
from esr_server.scheduling.scheduler import Scheduler
from tests.support.waiting import keeps_waiting


@contextmanager
def _scheduler(**settings: int) -> Iterator[Scheduler]:
    scheduler = Scheduler(SchedulerSettings(**settings))
    try:
        yield scheduler
    finally:
        scheduler.close()


async def test_no_more_streams_than_places() -> None:
    with _scheduler(max_streams=2) as scheduler, scheduler.admit():
        with scheduler.admit(), pytest.raises(BusyError, match="all 2 streams"), scheduler.admit():
            pytest.fail("admitted")
        with scheduler.admit():
            assert scheduler.active == 2


async def test_rest_is_told_once() -> None:
    rests = threading.Semaphore(0)
    scheduler = Scheduler(SchedulerSettings(rest_s=0.1), at_rest=rests.release)
    for _ in range(3):
        with scheduler.admit():
            assert not await asyncio.to_thread(rests.acquire, timeout=0.01)
    with scheduler.admit():
        assert not await asyncio.to_thread(rests.acquire, timeout=0.2)
    assert await asyncio.to_thread(rests.acquire, timeout=5)
    assert not await asyncio.to_thread(rests.acquire, timeout=0.2)
    scheduler.close()


async def test_draining_refuses_new_streams_and_waits() -> None:
    with _scheduler() as scheduler:
        with scheduler.admit():
            draining = asyncio.create_task(scheduler.drain(5))
            assert await keeps_waiting(draining)
            with pytest.raises(DrainingError, match="try again"), scheduler.admit():
                pytest.fail("admitted")
            assert not draining.done()
        assert await draining


async def test_what_does_not_finish_in_time_is_told() -> None:
    with _scheduler() as scheduler, scheduler.admit() as admission, scheduler.admit():
        errors: list[DrainingError] = []
        admission.on_drain_timeout = errors.append
        assert not await scheduler.drain(0.05)
        assert ["not finished in 0.05 s" in str(error) for error in errors] == [True]
