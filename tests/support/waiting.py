"""Waits of tests: for a condition that nothing tells of, and that something goes on waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

_POLL_S = 0.005


def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Return whether the condition becomes true in time."""
    end_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(_POLL_S)
    return condition()


async def comes_true(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Return whether the condition becomes true in time, without blocking the event loop."""
    end_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end_s:
        await asyncio.sleep(_POLL_S)
    return condition()


async def keeps_waiting(task: asyncio.Future[Any], seconds: float = 0.05) -> bool:
    """Return whether a task has not ended after some time in which it could have."""
    return not (await asyncio.wait([task], timeout=seconds))[0]
