"""Threads that do the work whose time is nearest."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(order=True, slots=True)
class _Job:
    due_s: float
    serial: int
    future: Future[Any] = field(compare=False)
    work: Callable[[], Any] = field(compare=False)

    def run(self) -> None:
        """Do the work, unless it was cancelled. What it raises is for the one who waits: the thread goes on."""
        if self.future.set_running_or_notify_cancel():
            try:
                result = self.work()
            except BaseException as error:
                self.future.set_exception(error)
            else:
                self.future.set_result(result)


class DeadlineExecutor:
    """A fixed set of threads; of the jobs that wait, the one that is due first runs next, in order of arrival where
    two are due at once. A job that has begun is never interrupted.
    """

    def __init__(self, workers: int) -> None:
        self._jobs: list[_Job] = []
        self._serial = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._here = threading.local()
        for index in range(workers):
            threading.Thread(target=self._run, name=f"esr-worker-{index}", daemon=True).start()

    @property
    def jobs(self) -> int:
        """Jobs that run or wait. Any thread may ask; a job counts itself."""
        return self._running + len(self._jobs)

    def submit(self, work: Callable[[], _T], due_s: float) -> Future[_T]:
        """Queue `work`, due at `due_s` (`time.perf_counter` seconds, or infinity).

        Raises:
            RuntimeError: the executor is closed.
        """
        future: Future[_T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the executor is closed")
            heapq.heappush(self._jobs, _Job(due_s, next(self._serial), future, work))
            if not getattr(self._here, "is_worker", False):  # a worker's own thread is about to look for work anyway
                self._changed.notify()
        return future

    def close(self) -> None:
        """Take no more work, cancel what waits, and let the threads end behind what they have begun."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.future.cancel()
            self._jobs.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        self._here.is_worker = True
        while (job := self._next()) is not None:
            job.run()
            del job  # what it holds, a frame as a rule, is not kept until the next one comes
            with self._changed:
                self._running -= 1

    def _next(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return None
            self._running += 1
            return heapq.heappop(self._jobs)


class StreamExecutor:
    """Runs the work of one stream: begun in order, `width` pieces at a time at most.

    The thread that ends a piece hands out the next one, so that no stream waits for the event loop between two frames.
    """

    def __init__(self, executor: DeadlineExecutor, width: int) -> None:
        self._executor = executor
        self._free = width
        self._waiting: deque[_Job] = deque()
        self._is_closed = False
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], _T], due_s: float) -> Future[_T]:
        """Queue `work`, which begins after all that was submitted before; a closed executor cancels it."""
        future: Future[_T] = Future()
        with self._lock:
            self._waiting.append(_Job(due_s, 0, future, work))
            self._begin_next()
        return future

    def close(self) -> None:
        """Cancel what has not begun, and all that will be submitted."""
        with self._lock:
            self._is_closed = True
            self._begin_next()

    def _begin_next(self) -> None:
        while self._is_closed and self._waiting:
            self._waiting.popleft().future.cancel()
        if self._free and self._waiting:
            self._free -= 1
            job = self._waiting.popleft()
            self._executor.submit(lambda: self._run(job), job.due_s)

    def _run(self, job: _Job) -> None:
        job.run()
        with self._lock:
            self._free += 1
            self._begin_next()
