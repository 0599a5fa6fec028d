"""Threads that do the work whose time is nearest."""

from __future__ import annotations

import heapq
import itertools
import threading
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


class DeadlineExecutor:
    """A fixed set of threads; of the jobs that wait, the one that is due first runs next, in order of arrival where
    two are due at once. A job that has begun is never interrupted.
    """

    def __init__(self, workers: int) -> None:
        self._jobs: list[_Job] = []
        self._serial = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        for index in range(workers):
            threading.Thread(target=self._run, name=f"esr-worker-{index}", daemon=True).start()

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
        while (job := self._next()) is not None:
            if job.future.set_running_or_notify_cancel():
                _settle(job)
            del job  # what it holds, a frame as a rule, is not kept until the next one comes

    def _next(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            return heapq.heappop(self._jobs) if self._jobs else None


def _settle(job: _Job) -> None:
    try:
        result = job.work()
    except BaseException as error:  # of whatever kind: it is for the one who waits, and the thread goes on
        job.future.set_exception(error)
    else:
        job.future.set_result(result)
