"""The path of one stream's frames: inbox → stages on worker threads → outbox, in order, every frame accounted for.

A reader puts arrivals into the inbox, a task of the pipeline advances the stages, a writer takes results from the
outbox. A full queue makes its writer wait, and gRPC's flow control carries that to the client. A stream can ask
for a full queue to drop a frame instead.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from esr_media.packet import Packet
from esr_server.config import SchedulerSettings
from esr_server.errors import LostFrameError, StageDiedError, clear_frames
from esr_server.scheduling.executor import StreamExecutor
from esr_server.streaming.delivery import Delivery, DeliveryPolicy, Dropped, DropReason, gate
from esr_server.streaming.items import Arrival, CodecStep, Result, Stages, StreamStatistics
from esr_server.streaming.queue import DroppingQueue
from esr_upscale.frame import Frame
from esr_upscale.plane_kernel import FRAMES_AT_ONCE

_T = TypeVar("_T")
_END = None  # what a queue gives after its last item
_MOST_IN_FLIGHT = FRAMES_AT_ONCE + 2
"""Frames of a lossless stream that are being upscaled, wait for that, or wait to be sent."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error in its place: behind what came before it."""

    error: Exception


@dataclass(frozen=True, slots=True)
class _Control:
    """What is to be done between two frames, on the event loop."""

    run: Callable[[], None]


class StreamPipeline:
    """One stream on one event loop. Start it with `start`, read it with `results`, end it with `close`."""

    def __init__(
        self,
        stages: Stages,
        executor: StreamExecutor,
        encoders: Executor,
        settings: SchedulerSettings,
        delivery: Delivery,
        *,
        evicts: bool,
    ) -> None:
        """`encoders` has a thread for each stream that encodes: a slow encoder keeps no frame waiting.

        With `evicts` frames may be dropped while they wait: they are raw, and no stage needs them for their neighbours.
        """
        self._stages, self._executor, self._encoders = stages, executor, encoders
        policy, lossless = delivery.policy, delivery.policy is DeliveryPolicy.LOSSLESS
        reason = DropReason.SUPERSEDED if policy is DeliveryPolicy.LATEST else DropReason.LATE

        def marker_of_arrival(item: Arrival | _Control | _Failure | None) -> Arrival | None:
            if isinstance(item, Arrival) and isinstance(item.item, Frame):
                return replace(item, item=Dropped(item.item.pts, reason))
            return None

        def marker_of_result(item: Result | _Failure | None) -> Result | None:
            if isinstance(item, Result) and isinstance(item.item, Frame):
                return replace(item, item=Dropped(item.item.pts, reason), model="")
            return None

        waiting = {DeliveryPolicy.LATEST: 1, DeliveryPolicy.DEADLINE: settings.deadline_items}
        self._inbox: DroppingQueue[Arrival | _Control | _Failure | None] = (
            DroppingQueue(settings.queue_items)
            if lossless or not evicts
            else DroppingQueue(waiting[policy], marker_of_arrival)
        )
        # Frames that may be dropped are begun one at a time: those that wait can still be.
        self._most_in_flight = _MOST_IN_FLIGHT if lossless else 1
        ready = _MOST_IN_FLIGHT if lossless and stages.is_frame_to_frame else settings.queue_items
        self._outbox: DroppingQueue[Result | _Failure | None] = (
            DroppingQueue(1, marker_of_result) if policy is DeliveryPolicy.LATEST else DroppingQueue(ready)
        )
        self._gate = gate(delivery, lambda: len(self._inbox) > 0)
        self._in_flight: deque[Future[Result | CodecStep | None]] = deque()
        self._step: Future[Any] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._statistics = StreamStatistics()
        self._model = ""
        self._is_closed = False

    @property
    def statistics(self) -> StreamStatistics:
        """Return what the stream has done so far; of results, what its writer has done with."""
        stages = self._stages
        return replace(
            self._statistics,
            frames_in=stages.frames_in,
            packets_in=stages.packets_in,
            packets_skipped=stages.packets_skipped,
        )

    def start(self, read: Callable[[], Coroutine[None, None, None]]) -> None:
        """Start to work. `read` runs as a task of its own; it puts arrivals in and returns at their end.

        What `read` raises ends the stream behind the results of what it had put in.
        """
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._read(read)), asyncio.create_task(self._work())]

    async def put(self, arrival: Arrival) -> None:
        """Hand one item in; waits while the inbox is full, unless an older item may be dropped."""
        await self._inbox.put(arrival)

    async def call_between(self, action: Callable[[], None]) -> None:
        """Have `action` run on the event loop between the items before it and those behind it; what it raises ends the
        stream.
        """
        await self._inbox.put_marker(_Control(action))

    async def results(self, max_batch: Callable[[], int] = lambda: 1) -> AsyncGenerator[list[Result], None]:
        """Give results as they become ready; raise what the reader or a stage raised, in its place.

        A result counts as sent when the next ones are asked for. Those that lie in shared memory come up to
        `max_batch()` at a time. They wait for each other only as long as another one is being made.

        Raises:
            LostFrameError: a stage kept a frame; a stream that ends well answers every one.
        """
        batch: list[Result] = []
        while True:
            item = await self._outbox.get()
            if isinstance(item, Result):
                batch.append(item)
                more = self._stages.is_frame_to_frame and (self._in_flight or not self._outbox.is_empty)
                if more and item.placement and len(batch) < max_batch():
                    continue
            if batch:
                yield batch
                self._count(batch)
                batch = []
            if isinstance(item, _Failure):
                try:
                    raise item.error
                finally:
                    del item  # or the traceback would hold the error, and both would wait for the garbage collector
            if item is _END:
                done = self.statistics
                if done.frames_lost:
                    raise LostFrameError(
                        f"{done.frames_in} frames went in, {done.frames_out} came out and "
                        f"{done.frames_dropped} were dropped"
                    )
                return

    def fail(self, error: Exception) -> None:
        """End the stream with `error`, ahead of the results that still wait."""
        for task in self._tasks:
            task.cancel()
        self._outbox.clear()
        self._outbox.append(_Failure(error), counts=False)

    async def close(self) -> None:
        """Stop. What a worker thread has begun is finished, and its result thrown away."""
        self._is_closed = True
        self._executor.close()
        for task in self._tasks:
            task.cancel()
        errors: list[BaseException | None] = []
        try:
            errors = await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:  # the caller may be cancelled meanwhile
            if self._step is None or self._step.done():
                self._encoders.submit(self._stages.close)  # codecs may take a while: not on the event loop
            else:
                self._stages.interrupt()
                self._step.add_done_callback(lambda _: self._stages.close())
            # Frames are large: what a traceback holds is let go now, and not when the garbage collector runs.
            left = [*self._inbox.clear(), *self._outbox.clear()]
            for error in [*errors, *(item.error for item in left if isinstance(item, _Failure))]:
                clear_frames(error)
            for future in self._in_flight:
                future.cancel()
                future.add_done_callback(lambda done: None if done.cancelled() else clear_frames(done.exception()))
            self._tasks, self._in_flight = [], deque()

    # ---- the tasks

    async def _read(self, read: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await read()
        except Exception as error:
            self._inbox.append(_Failure(error), counts=False)
        else:
            self._inbox.append(_END, counts=False)

    async def _work(self) -> None:
        with self._failures_sent():
            try:
                while (item := await self._next()) is not _END:
                    await self._take(item)
            except Exception:  # it has its place behind the results of what came before
                await self._all_collected()
                raise
            await self._all_collected()
            await self._drive(self._stages.flush(self._gate), math.inf)
            self._outbox.append(_END, counts=False)

    async def _next(self) -> Arrival | _Control | _Failure | None:
        if self._stages.is_frame_to_frame:  # a frame is taken when its work can begin: until then it can be dropped
            await self._outbox.wait_until(
                lambda: len(self._in_flight) < self._most_in_flight and self._outbox.has_space(len(self._in_flight))
            )
        return await self._inbox.get()

    async def _take(self, item: Arrival | _Control | _Failure) -> None:
        if not isinstance(item, Arrival) or isinstance(item.item, Dropped):
            await self._all_collected()
            if isinstance(item, _Failure):
                raise item.error
            if isinstance(item, _Control):
                item.run()
            else:
                await self._outbox.put_marker(self._stages.drop(item))
        elif not self._stages.is_frame_to_frame:
            await self._drive(self._stages.push(item, self._gate), item.due_s)
        else:
            steps = (
                await self._finished(self._executor.submit(lambda: self._stages.push(item, self._gate), item.due_s))
                if self._stages.is_slow_to_take(item)
                else self._stages.push(item, self._gate)
            )
            future = self._executor.submit(lambda: next(steps, None), item.due_s)
            self._in_flight.append(future)
            future.add_done_callback(self._ended)

    async def _all_collected(self) -> None:
        await self._outbox.wait_until(lambda: not self._in_flight)

    def _ended(self, _future: Future[Any]) -> None:
        if not self._is_closed:  # on a worker's thread
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        """Move results that are there to the outbox, in the order in which their work was handed out."""
        while self._in_flight and self._in_flight[0].done():
            future = self._in_flight.popleft()
            if not future.cancelled():  # as is what would come behind an error
                with self._failures_sent():
                    result = future.result()
                    assert isinstance(result, Result)
                    self._outbox.append(result, counts=not isinstance(result.item, Dropped))
        self._outbox.notify()

    async def _drive(self, steps: Iterator[Result | CodecStep], due_s: float) -> None:
        """Advance one item's steps to their end, one at a time."""
        while (step := await self._finished(self._executor.submit(lambda: next(steps, None), due_s))) is not None:
            results = await self._finished(self._encoders.submit(step.run)) if isinstance(step, CodecStep) else [step]
            for result in results:
                put = self._outbox.put_marker if isinstance(result.item, Dropped) else self._outbox.put
                await put(result)

    async def _finished(self, step: Future[_T]) -> _T:
        self._step = step
        return await asyncio.wrap_future(step)

    @contextmanager
    def _failures_sent(self) -> Iterator[None]:
        """Put what is raised into the outbox, behind the results that are there, and begin nothing more."""
        try:
            yield
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._fail_in_place(error)
        except BaseException as error:
            # SystemExit and its like would take the whole event loop along, and every other stream with it.
            self._fail_in_place(StageDiedError(error))

    def _fail_in_place(self, error: Exception) -> None:
        self._executor.close()
        for task in self._tasks:  # nothing more is taken in
            if task is not asyncio.current_task():
                task.cancel()
        self._outbox.append(_Failure(error), counts=False)

    def _count(self, results: list[Result]) -> None:
        statistics = self._statistics
        for result in results:
            if isinstance(result.item, Dropped):
                statistics.frames_dropped += 1
                continue
            statistics.frames_out += 1
            statistics.packets_out += isinstance(result.item, Packet)
            statistics.model_switches += self._model not in ("", result.model)
            self._model = result.model
            statistics.stages += result.stages
