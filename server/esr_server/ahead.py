"""Frames of one stream whose work is handed out before the results of those in front have been sent."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from esr_server.executor import Lane

_T = TypeVar("_T")


class Ahead(Generic[_T]):
    """Keeps a lane busy: at most `most` pieces of work are handed out and their results not sent yet. For one event
    loop, and one task on it that hands out.

    `ready` is called on the event loop with each piece's future, in the order in which they were handed out, whichever
    ends first.
    """

    def __init__(self, lane: Lane, most: int, ready: Callable[[Future[_T]], None]) -> None:
        self._lane = lane
        self._most = most
        self._ready = ready
        self._working: deque[Future[_T]] = deque()
        self._unsent = 0
        self._moved = asyncio.Event()
        self._closed = False

    async def room(self) -> None:
        """Wait until there are not too many."""
        while self._unsent >= self._most:
            await self._wait()

    def submit(self, work: Callable[[], _T], due_s: float) -> None:
        self._unsent += 1
        loop, future = asyncio.get_running_loop(), self._lane.submit(work, due_s)
        self._working.append(future)
        future.add_done_callback(lambda done: self._ended(loop, done))

    @property
    def working(self) -> bool:
        """Return whether a result is still to come."""
        return bool(self._working)

    def sent(self) -> None:
        """A result is out of the way."""
        self._unsent -= 1
        self._moved.set()

    async def idle(self) -> None:
        """Wait until nothing that was handed out is being worked on, or waits to be."""
        while self._working:
            await self._wait()

    def close(self) -> None:
        """Let no result come any more."""
        self._closed = True
        while self._working:
            if (future := self._working.popleft()).done():
                _let_go(future)

    def _ended(self, loop: asyncio.AbstractEventLoop, future: Future[_T]) -> None:
        # On the worker's thread.
        if self._closed:
            _let_go(future)
        else:
            loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        while self._working and self._working[0].done():
            self._ready(self._working.popleft())
            self._moved.set()

    async def _wait(self) -> None:
        self._moved.clear()
        await self._moved.wait()


def _let_go(future: Future[Any]) -> None:
    if not future.cancelled():
        clear(future.exception())


def clear(error: BaseException | None) -> None:
    """Drop what tracebacks hold of an error that nobody takes, and of those behind it: a frame is large, and garbage
    may wait for long.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
