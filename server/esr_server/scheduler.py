"""Who may run and who waits: admission, the threads that do the work, and the queues of each stream.

A stream is three parties that never wait for each other beyond a bounded queue: a reader puts arrivals in, the stream's
own task drives its session on a worker thread, a writer takes results out. A full queue makes the reader wait, and
gRPC's flow control carries that to the client.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from esr_server.config import SchedulerSettings
from esr_server.errors import BusyError, DrainingError, StageDiedError
from esr_server.session import Arrival, Result

_T = TypeVar("_T")


class Stages(Protocol):
    """What the scheduler drives: a session, seen from here."""

    def push(self, arrival: Arrival) -> Iterator[Result]:
        """Take one item in; give what has become ready."""
        ...

    def flush(self) -> Iterator[Result]:
        """Give what is still held."""
        ...


class Scheduler:
    """Admits streams and runs their work on a fixed set of threads, first come, first served, frame by frame."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings
        self._executor = ThreadPoolExecutor(settings.workers, thread_name_prefix="esr-worker")
        self._active = 0
        self._streams: set[Stream] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def active(self) -> int:
        """Streams that run now."""
        return self._active

    @property
    def draining(self) -> bool:
        """Whether new streams are refused for good."""
        return self._draining

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place for one stream.

        Raises:
            DrainingError: the server shuts down; BusyError: all places are taken.
        """
        if self._draining:
            raise DrainingError("the server is draining and takes no new stream; try again, or another server")
        if self._active >= self._settings.max_streams:
            raise BusyError(f"all {self._settings.max_streams} streams of this server are taken; try again later")
        self._active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run `work` on a worker thread, in its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    @contextmanager
    def stream(self, session: Stages) -> Iterator[Stream]:
        """Make the queues of one admitted stream, to be closed by its user within the context."""
        stream = Stream(session, self, self._settings.queue_items)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    async def drain(self, grace_s: float) -> bool:
        """Refuse new streams and wait for the running ones; those that run after `grace_s` seconds fail.

        Returns whether all had finished by then.
        """
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            for stream in self._streams:
                stream.fail(DrainingError(f"the server shut down, and the stream was not finished in {grace_s:g} s"))
            return False
        return True

    def close(self) -> None:
        """Let the worker threads end. Call it when no stream runs."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class _Failure:
    """An error on its way through a queue, in its place behind what came before it."""

    def __init__(self, error: Exception) -> None:
        self.error = error


_END = None  # what a queue gives after its last item


class Stream:
    """The queues of one session, and the tasks between them. End it with `close`."""

    def __init__(self, session: Stages, scheduler: Scheduler, depth: int) -> None:
        self._session = session
        self._scheduler = scheduler
        self._inbox: asyncio.Queue[Arrival | _Failure | None] = asyncio.Queue(depth)
        self._outbox: asyncio.Queue[Result | _Failure | None] = asyncio.Queue(depth)
        self._tasks: list[asyncio.Task[None]] = []

    async def put(self, arrival: Arrival) -> None:
        """Hand one item in; waits while the queue is full."""
        await self._inbox.put(arrival)

    def start(self, read: Callable[[], Coroutine[None, None, None]]) -> None:
        """Start the session's task, and the one that runs `read`, which puts arrivals in and returns at their end.

        What `read` raises ends the stream behind the results of what it had put in.
        """
        self._tasks = [asyncio.create_task(self._feed(read)), asyncio.create_task(self._work())]

    async def results(self) -> AsyncIterator[Result]:
        """Give results as they become ready; raise what the reader or a stage raised, in its place."""
        while True:
            result = await self._outbox.get()
            if result is _END:
                return
            if isinstance(result, _Failure):
                raise result.error
            yield result

    def fail(self, error: Exception) -> None:
        """End the stream with `error`, ahead of the results that still wait."""
        for task in self._tasks:
            task.cancel()
        while not self._outbox.empty():
            self._outbox.get_nowait()
        self._outbox.put_nowait(_Failure(error))

    async def close(self) -> None:
        """Stop both tasks. A frame that a worker thread has begun is finished, and its result thrown away."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._let_go([error for error in ended if error is not None])

    def _let_go(self, errors: list[BaseException]) -> None:
        """Drop what is left, and what tracebacks hold of it: frames are large, and garbage may wait for long."""
        self._tasks = []
        for queue in (self._inbox, self._outbox):
            while not queue.empty():
                left = queue.get_nowait()
                errors += [left.error] if isinstance(left, _Failure) else []
        for error in errors:
            traceback.clear_frames(error.__traceback__)

    async def _feed(self, read: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await read()
        except Exception as error:
            await self._inbox.put(_Failure(error))
        else:
            await self._inbox.put(_END)

    async def _work(self) -> None:
        """Drive the session; whatever happens in it, the writer is told and never left waiting."""
        try:
            while (arrival := await self._inbox.get()) is not _END:
                if isinstance(arrival, _Failure):
                    raise arrival.error
                await self._drive(self._session.push(arrival))
            await self._drive(self._session.flush())
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await self._outbox.put(_Failure(error))
        except BaseException as error:
            # SystemExit and its like would take the whole event loop along, and every other stream with it.
            await self._outbox.put(_Failure(StageDiedError(error)))
        else:
            await self._outbox.put(_END)

    async def _drive(self, results: Iterator[Result]) -> None:
        while (result := await self._scheduler.run(lambda: next(results, None))) is not None:
            await self._outbox.put(result)
