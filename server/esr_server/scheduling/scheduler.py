"""Which streams may run, and the threads that do their work."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from esr_server.config import SchedulerSettings
from esr_server.errors import BusyError, DrainingError, StartingError
from esr_server.scheduling.executor import DeadlineExecutor, StreamExecutor
from esr_upscale.plane_kernel import FRAMES_AT_ONCE

_T = TypeVar("_T")
_AGAIN_S = 60.0


@dataclass(slots=True, eq=False)
class Admission:
    """The place of one stream."""

    on_drain_timeout: Callable[[DrainingError], None] | None = None
    """Called on the event loop when the server shuts down and the stream has used up its time."""


class Scheduler:
    """Admits streams and runs their work on a fixed set of threads, frame by frame, what is due first before the rest.
    What is due at no time, the work of streams without a declared rate, is done in the order in which it came.
    """

    def __init__(
        self, settings: SchedulerSettings, at_rest: Callable[[], object] = lambda: None, *, starting: bool = False
    ) -> None:
        """Start the threads. `at_rest` is called on one of them when no stream has run for some seconds.

        If it returns something true, it is called again after a minute without a stream.

        With `starting` streams are refused until `open` is called.
        """
        self._settings = settings
        self._at_rest = at_rest
        self._resting: asyncio.Task[None] | None = None
        self._executor = DeadlineExecutor(settings.workers)
        # Loading a model takes a second or more; on a worker's thread it would make frames wait. A thread for each
        # stream, made when needed: who asks for a model that is there does not wait for one that is being loaded.
        self._loader = ThreadPoolExecutor(settings.max_streams, thread_name_prefix="esr-loader")
        # An encoder may take a second for one picture, and no worker's thread is kept that long.
        self.encoders = ThreadPoolExecutor(settings.max_streams, thread_name_prefix="esr-encoder")
        self._admitted: set[Admission] = set()
        self._starting = starting
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def active(self) -> int:
        """Return how many streams have a place."""
        return len(self._admitted)

    @property
    def state(self) -> str:
        return "draining" if self._draining else "starting" if self._starting else "serving"

    def open(self) -> None:
        self._starting = False
        self._begin_resting()

    def check_started(self) -> None:
        """Raise StartingError while models are being loaded."""
        if self._starting:
            raise StartingError("the server is starting and still loading its models; try again in a few seconds")

    @property
    def draining(self) -> bool:
        """Return whether new streams are refused for good."""
        return self._draining

    @property
    def concurrency(self) -> int:
        """Return how many frames share the processor, working or waiting: FRAMES_AT_ONCE at most.
        Any thread may ask; the frame that it works on is one.
        """
        return min(self._executor.jobs, FRAMES_AT_ONCE)

    @contextmanager
    def admit(self) -> Iterator[Admission]:
        """Hold a place for one stream.

        Raises:
            StartingError: models are still being loaded; DrainingError: the server shuts down.
            BusyError: all places are taken.
        """
        self.check_started()
        if self._draining:
            raise DrainingError("the server is draining and accepts no new streams; try again, or another server")
        if self.active >= self._settings.max_streams:
            raise BusyError(f"all {self._settings.max_streams} streams of this server are in use; try again later")
        admission = Admission()
        self._admitted.add(admission)
        self._idle.clear()
        self._stop_resting()
        try:
            yield admission
        finally:
            self._admitted.remove(admission)
            if not self._admitted:
                self._idle.set()
                self._begin_resting()

    async def run(self, work: Callable[[], _T], due_s: float = math.inf) -> _T:
        """Run `work` on a worker thread, in its turn; it is due at `due_s` (`time.perf_counter` seconds)."""
        context = contextvars.copy_context()
        return await asyncio.wrap_future(self._executor.submit(lambda: context.run(work), due_s))

    async def load(self, work: Callable[[], _T]) -> _T:
        """Run long work that no frame waits for, such as loading a model, on a thread of its own in this context."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._loader, lambda: context.run(work))

    def stream_executor(self) -> StreamExecutor:
        """Make what runs one stream's work on the workers' threads."""
        return StreamExecutor(self._executor, FRAMES_AT_ONCE)

    async def drain(self, grace_s: float) -> bool:
        """Refuse new streams and wait for the running ones; those that run after `grace_s` seconds fail.

        Returns whether all had finished by then.
        """
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            for admission in self._admitted:
                if admission.on_drain_timeout is not None:
                    admission.on_drain_timeout(
                        DrainingError(f"the server shut down, and the stream was not finished in {grace_s:g} s")
                    )
            return False
        return True

    def close(self) -> None:
        """Let the worker threads end. Call it when no stream runs."""
        self._stop_resting()
        self._executor.close()
        self._loader.shutdown(wait=False, cancel_futures=True)
        self.encoders.shutdown(wait=False)

    def _begin_resting(self) -> None:
        self._stop_resting()
        # In a context of its own: a line in the log is not of the stream that ended last.
        self._resting = asyncio.get_running_loop().create_task(self._rest(), context=contextvars.Context())

    async def _rest(self) -> None:
        await asyncio.sleep(self._settings.rest_s)
        while await self.load(self._at_rest):
            await asyncio.sleep(_AGAIN_S)

    def _stop_resting(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
