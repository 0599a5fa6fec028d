"""One stream: three parties that never wait for each other beyond a bounded queue.

A reader puts arrivals in, the stream's own task drives its session on worker threads, a writer takes results out. A
full queue makes the reader wait, and gRPC's flow control carries that to the client; or it drops a frame, where the
stream asked for that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from esr_server.ahead import Ahead, clear
from esr_server.config import SchedulerSettings
from esr_server.delivery import Delivery, DeliveryPolicy, Dropped, DropReason, Gate, gate
from esr_server.errors import StageDiedError
from esr_server.executor import Lane
from esr_server.queues import BoundedQueue
from esr_server.session import Arrival, Encoding, Result, StreamStatistics
from esr_upscale.frame import Frame
from esr_upscale.kernels import FRAMES_AT_ONCE

_T = TypeVar("_T")


class Stages(Protocol):
    """What a stream drives: a session, seen from here."""

    statistics: StreamStatistics
    """What the stream has done so far."""
    is_frame_to_frame: bool
    """Whether each item that is pushed gives one result at once."""

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | Encoding]:
        """Take one item in; give what has become ready, or work of the encoder that makes it. `gate` says of a frame
        whether it is to be dropped."""
        ...

    def begin(self, arrival: Arrival, gate: Gate) -> Callable[[], Result]:
        """Take one item of a frame-to-frame stream in; return the work that makes its result, for any thread."""
        ...

    def settle(self, result: Result) -> None:
        """Take what came of `begin`, in order."""
        ...

    def flush(self, gate: Gate) -> Iterator[Result | Encoding]: ...

    def close(self) -> None:
        """Release what the stages hold; nothing drives them any more."""
        ...


class _Failure:
    """An error on its way through a queue, in its place behind what came before it."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Order:
    """Something to be done between two frames, on the event loop."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.run = action


_END = None  # what a queue gives after its last item
_AHEAD = FRAMES_AT_ONCE + 2  # frames of a stream: worked on, waiting for that, and on its way out


class Queues:
    """The two queues of a stream, and the gate before its upscaling, as its delivery wants them."""

    def __init__(self, settings: SchedulerSettings, delivery: Delivery, *, evicts: bool) -> None:
        self._reason = DropReason.SUPERSEDED if delivery.policy is DeliveryPolicy.LATEST else DropReason.LATE
        depth = {DeliveryPolicy.LATEST: 1, DeliveryPolicy.DEADLINE: settings.deadline_items}.get(
            delivery.policy, settings.queue_items
        )
        drops_waiting = evicts and delivery.policy is not DeliveryPolicy.LOSSLESS
        self.inbox: BoundedQueue[Arrival | _Order | _Failure | None] = BoundedQueue(
            depth if drops_waiting else settings.queue_items, self._dropped_arrival if drops_waiting else _never
        )
        drops_ready = delivery.policy is DeliveryPolicy.LATEST
        self.outbox: BoundedQueue[Result | _Failure | None] = BoundedQueue(
            1 if drops_ready else settings.queue_items, self._dropped_result if drops_ready else _never
        )
        self.gate = gate(delivery, lambda: len(self.inbox) > 0)
        self.drops = delivery.policy is not DeliveryPolicy.LOSSLESS
        self.overtaken = 0
        """Frames that were ready, and dropped for a newer one before they could be sent."""

    def _dropped_arrival(self, item: Arrival | _Order | _Failure | None) -> Arrival | None:
        if isinstance(item, Arrival) and isinstance(item.item, Frame):
            return replace(item, item=Dropped(item.item.pts, self._reason))
        return None

    def _dropped_result(self, item: Result | _Failure | None) -> Result | None:
        if isinstance(item, Result) and isinstance(item.item, Frame):
            self.overtaken += 1
            return replace(item, item=Dropped(item.item.pts, self._reason), model="")
        return None


def _never(_item: object) -> None:
    # The queue drops nothing.
    return


class Stream:
    """The queues of one session, and the tasks between them. End it with `close`."""

    def __init__(self, session: Stages, lane: Lane, encoders: Executor, queues: Queues) -> None:
        """`encoders` has a thread for each stream that encodes, so that a slow encoder keeps no frame waiting."""
        self._session = session
        self._queues = queues
        self._lane = lane
        self._encoders = encoders
        self._step: Future[Any] | None = None
        # Frames that may be dropped are handed out one at a time: those that wait can still be.
        self._ahead = Ahead(self._lane, _AHEAD, self._ready) if session.is_frame_to_frame and not queues.drops else None
        self._tasks: list[asyncio.Task[None]] = []

    async def put(self, arrival: Arrival) -> None:
        """Hand one item in; waits while the queue is full, unless an older one may be dropped."""
        await self._queues.inbox.put(arrival)

    async def order(self, action: Callable[[], None]) -> None:
        """Have something done on the event loop between the items before and those behind; what it raises ends the
        stream.
        """
        await self._queues.inbox.put_marker(_Order(action))

    def start(self, read: Callable[[], Coroutine[None, None, None]]) -> None:
        """Start the session's task, and the one that runs `read`, which puts arrivals in and returns at their end.

        What `read` raises ends the stream behind the results of what it had put in.
        """
        self._tasks = [asyncio.create_task(self._feed(read)), asyncio.create_task(self._work())]

    async def results(self, together: Callable[[], int] = lambda: 1) -> AsyncIterator[list[Result]]:
        """Give results as they become ready; raise what the reader or a stage raised, in its place.

        Those that lie in shared memory come up to `together()` at a time. They wait for each other only as long as
        another one is being made.
        """
        ready: list[Result] = []
        while True:
            item = await self._queues.outbox.get()
            if isinstance(item, Result):
                ready.append(item)
                if self._more_comes() and item.placement and len(ready) < together():
                    continue
            if ready:
                yield ready
                ready = []
            if item is _END:
                return
            if isinstance(item, _Failure):
                try:
                    raise item.error
                finally:
                    del item  # or the traceback would hold the error, and both would wait for the garbage collector

    def _more_comes(self) -> bool:
        if self._ahead is None:
            return False
        self._ahead.sent()
        return self._ahead.working or not self._queues.outbox.empty

    def fail(self, error: Exception) -> None:
        """End the stream with `error`, ahead of the results that still wait."""
        for task in self._tasks:
            task.cancel()
        self._queues.outbox.clear()
        self._queues.outbox.append(_Failure(error))

    async def close(self) -> None:
        """Stop both tasks. A frame that a worker thread has begun is finished, and its result thrown away."""
        if self._ahead is not None:
            self._ahead.close()
        self._lane.close()
        for task in self._tasks:
            task.cancel()
        ended: list[BaseException | None] = []
        try:
            ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:  # its user may be cancelled meanwhile
            self._close_session()
            self._let_go([error for error in ended if error is not None])

    def _close_session(self) -> None:
        """Release codecs, away from the event loop, as soon as the step that has begun has ended."""
        if self._step is None or self._step.done():
            self._encoders.submit(self._session.close)
        else:
            self._step.add_done_callback(lambda _: self._session.close())

    def _let_go(self, errors: list[BaseException]) -> None:
        """Drop what is left, and what tracebacks hold of it: frames are large, and garbage may wait for long."""
        self._tasks, self._ahead = [], None
        left = [*self._queues.inbox.clear(), *self._queues.outbox.clear()]
        for error in [*errors, *(item.error for item in left if isinstance(item, _Failure))]:
            clear(error)

    async def _feed(self, read: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await read()
        except Exception as error:
            self._queues.inbox.append(_Failure(error))
        else:
            self._queues.inbox.append(_END)

    async def _work(self) -> None:
        """Drive the session; whatever happens in it, the writer is told and never left waiting."""
        with self._telling():
            await self._take_all()
            await self._drive(self._session.flush(self._queues.gate), math.inf)
            self._queues.outbox.append(_END)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Put what is raised into the outbox, behind the results that are there."""
        try:
            yield
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._queues.outbox.append(_Failure(error))
        except BaseException as error:
            # SystemExit and its like would take the whole event loop along, and every other stream with it.
            self._queues.outbox.append(_Failure(StageDiedError(error)))

    async def _take_all(self) -> None:
        try:
            while (item := await self._queues.inbox.get()) is not _END:
                await self._take(item)
        except Exception:
            await self._all_ended()  # an error has its place behind the results of what came before
            raise
        await self._all_ended()

    async def _take(self, item: Arrival | _Order | _Failure) -> None:
        if isinstance(item, Arrival) and not isinstance(item.item, Dropped):
            await self._push(item)
            return
        await self._all_ended()
        if isinstance(item, _Failure):
            raise item.error
        if isinstance(item, _Order):
            item.run()
            return
        for result in self._session.push(item, self._queues.gate):  # no work for a thread
            assert isinstance(result, Result)
            await self._queues.outbox.put_marker(result)

    async def _push(self, arrival: Arrival) -> None:
        session, gate = self._session, self._queues.gate
        if not session.is_frame_to_frame:
            await self._drive(session.push(arrival, gate), arrival.due_s)
        elif self._ahead is not None:
            await self._ahead.room()
            self._ahead.submit(session.begin(arrival, gate), arrival.due_s)
        else:
            result = await asyncio.wrap_future(self._lane.submit(session.begin(arrival, gate), arrival.due_s))
            session.settle(result)
            await self._hand_on(result)

    def _ready(self, future: Future[Result]) -> None:
        """Take the result of a frame whose work was handed out ahead; cancelled is what would come behind an error."""
        if not future.cancelled():
            with self._telling():
                result = future.result()
                self._session.settle(result)
                self._queues.outbox.append(result)

    async def _all_ended(self) -> None:
        if self._ahead is not None:
            await self._ahead.idle()

    async def _drive(self, results: Iterator[Result | Encoding], due_s: float) -> None:
        while (result := await self._ended(self._lane.submit(lambda: next(results, None), due_s))) is not None:
            if isinstance(result, Encoding):
                for encoded in await self._ended(self._encoders.submit(result.run)):
                    await self._hand_on(encoded)
            else:
                await self._hand_on(result)

    async def _ended(self, step: Future[_T]) -> _T:
        """Wait for a step of the session."""
        self._step = step
        return await asyncio.wrap_future(step)

    async def _hand_on(self, result: Result) -> None:
        if isinstance(result.item, Dropped):
            await self._queues.outbox.put_marker(result)
        else:
            await self._deliver(result)

    async def _deliver(self, result: Result) -> None:
        overtaken = self._queues.overtaken
        await self._queues.outbox.put(result)
        if gone := self._queues.overtaken - overtaken:
            # The session runs on no thread now: it is driven by this task only.
            self._session.statistics.frames_out -= gone
            self._session.statistics.frames_dropped += gone
