"""One stream over an asyncio channel: gRPC's task writes, the caller's task reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

import grpc.aio

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._body import Body, Plan
from esr_client._config import Options
from esr_client._delivery import DropReason
from esr_client._errors import CallCancelledError, ServerError, from_rpc, from_status
from esr_client._results import Negotiated, StreamStatistics
from esr_client._status_details import Metadata
from esr_client._switches import Switches

__all__ = ["AsyncUpscaleStream"]

ItemT = TypeVar("ItemT")

Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.UpscaleRequest, pb.UpscaleResponse]"
StartCall: TypeAlias = Callable[[AsyncIterator[pb.UpscaleRequest]], Call]


async def _from_iterable(items: Iterable[ItemT]) -> AsyncIterator[ItemT]:
    for item in items:
        yield item


_PATIENCE_S = 0.01  # of a reader, before the server is thought to need more items for an answer


class _Sender(Generic[ItemT]):
    """The writing half. It knows nothing of the stream object, so that dropping that one ends the call."""

    def __init__(self, body: Body[ItemT], first: list[ItemT], source: AsyncIterator[ItemT], switches: Switches) -> None:
        self.error: Exception | None = None
        self._body = body
        self._switches = switches
        self._first = first
        self._source = source
        self._window_moved = asyncio.Event()
        self.reader_waits = False
        """Whether the caller waits for an answer."""
        self._call: Call | None = None

    async def requests(self) -> AsyncIterator[pb.UpscaleRequest]:
        """Yield requests for gRPC's task. They end early, with the call cancelled, when the source raises."""
        try:
            yield self._body.opening()
            while True:
                await self._wait_for_window()
                item = self._first.pop() if self._first else await anext(self._source)
                for switch in self._switches.pop_requests():
                    yield switch
                yield self._body.push(item)
        except StopAsyncIteration:
            return
        except Exception as error:
            self.error = error
            if self._call is not None:
                self._call.cancel()
        finally:
            self._switches.end()

    async def _wait_for_window(self) -> None:
        patience_s = _PATIENCE_S if self._body.decoder_may_delay else None
        while not self._body.can_send:
            self._window_moved.clear()
            try:
                await asyncio.wait_for(self._window_moved.wait(), patience_s)
            except TimeoutError:
                if self.reader_waits:
                    self._body.grow_window()

    def attach(self, call: Call) -> None:
        """Tell the sender its call, which it ends if the source raises. Its task has not run yet."""
        self._call = call

    def wake(self) -> None:
        """Wake the sender, because the window may have moved."""
        self._window_moved.set()


class _Statuses:
    """The statuses with which the server ended a call.

    A write that fails while the server ends the call makes grpc.aio replace the server's status with one of its own,
    before or after the server's comes (grpc/grpc#36066). The server's is the one to report.
    """

    _LOCAL_DETAILS = "Internal error from Core"
    _PATIENCE_S = 0.5

    def __init__(self, call: Call) -> None:
        self._received: asyncio.Queue[tuple[grpc.StatusCode, str, Metadata | None]] = asyncio.Queue()
        call.add_done_callback(self._receive)

    def _receive(self, call: Call) -> None:
        code, details = _run_now(call.code()), _run_now(call.details())
        if code is not None and details != self._LOCAL_DETAILS:
            self._received.put_nowait((code, details or "", _run_now(call.trailing_metadata())))

    def cancelled_error(self) -> ServerError:
        """Return the error to raise for a call that was cancelled, here or by the server."""
        if self._received.empty():
            return CallCancelledError("the stream was closed")
        return from_status(*self._received.get_nowait())

    async def error(self, error: grpc.RpcError) -> ServerError:
        """Return the error to raise for `error`, with the server's status if that still comes."""
        translated = from_rpc(error)
        if str(translated) != self._LOCAL_DETAILS:
            return translated
        try:
            return from_status(*await asyncio.wait_for(self._received.get(), self._PATIENCE_S))
        except TimeoutError:
            return translated


def _run_now(coroutine: Coroutine[Any, Any, ItemT]) -> ItemT | None:
    """Run a coroutine that has nothing to wait for, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: ItemT = stop.value
        return result
    coroutine.close()
    return None


class AsyncUpscaleStream(Generic[ItemT]):
    """Upscaled frames (or packets) in order: an asynchronous iterator, and a context manager that cancels the call.

    The call begins when the first item is asked for. Items are taken from the caller's iterable in another task, at
    most `Options.window` frames ahead of the answers taken; where frames may be dropped, as fast as gRPC takes them.
    Dropping the stream before its end cancels the call. An exception of the iterable, or of the caller's `on_drop`, is
    raised here, and the call is cancelled.
    """

    def __init__(
        self, start: StartCall, plan: Plan, items: AsyncIterable[ItemT] | Iterable[ItemT], options: Options
    ) -> None:
        self._start = start
        self._plan = plan
        self._items = items
        self._options = options
        self._body: Body[ItemT] | None = None
        self._sender: _Sender[ItemT] | None = None
        self._call: Call | None = None
        self._statuses: _Statuses | None = None
        self._switches = Switches()
        self._ready: deque[ItemT] = deque()
        self._ended = False

    @property
    def negotiated(self) -> Negotiated | None:
        """Return the negotiated stream; None before the first item came or `open` was called."""
        return self._body.negotiated if self._body else None

    @property
    def statistics(self) -> StreamStatistics | None:
        """Return the server's account; None before the end."""
        return self._body.statistics if self._body else None

    @property
    def dropped(self) -> Mapping[DropReason, int]:
        """Return how many frames the server has dropped so far, by reason."""
        return self._plan.dropped.by_reason

    def switch_model(self, model: str) -> None:
        """Let the frames from the next one on be made by another model of the same scale. It ends a ladder.

        Any thread may call it, also before the first item was asked for. The wish goes out before the next frame that
        is sent; of several wishes before one frame the last counts. A frame's `model` says which one made it.

        Raises:
            ValueError: the name is empty.
            ClosedError: the stream has ended, or its last frame is sent.
        """
        self._switches.ask(model)

    async def open(self) -> Negotiated | None:
        """Begin the call, wait for the negotiated stream and return it; None if there are no frames, hence no call.

        Raises:
            EsrError: the server refused the stream, or cannot be reached.
        """
        while self.negotiated is None and not self._ended:
            self._ready += await self._step()
        return self.negotiated

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        while not self._ready and not self._ended:
            self._ready += await self._step()
        if not self._ready or self._body is None or self._sender is None:
            raise StopAsyncIteration
        self._body.mark_delivered()
        self._sender.wake()
        return self._ready.popleft()

    async def _step(self) -> list[ItemT]:
        try:
            await self._begin()
            return await self._advance()
        except BaseException:
            self._cancel()
            raise

    async def _begin(self) -> None:
        if self._call is not None or self._ended:
            return
        source = aiter(self._items) if isinstance(self._items, AsyncIterable) else _from_iterable(self._items)
        first: list[ItemT] = []
        if self._plan.peeks:
            try:
                first.append(await anext(source))
            except StopAsyncIteration:
                self._end()
                return
        self._body = self._plan.body(first[0] if first else None, self._options)
        self._sender = _Sender(self._body, first, source, self._switches)
        self._call = self._start(self._sender.requests())
        self._statuses = _Statuses(self._call)
        self._sender.attach(self._call)

    async def _advance(self) -> list[ItemT]:
        if self._body is None or self._sender is None or self._call is None or self._statuses is None:
            return []
        response = await _read(self._call, self._sender, self._statuses)
        if response is None:
            self._end()
            self._body.close()
            self._body.finish()
            return []
        items = self._body.pull(response)
        self._sender.wake()
        return items

    def _end(self) -> None:
        self._ended = True
        self._switches.end()

    def _cancel(self) -> None:
        self._end()
        if self._call is not None:
            self._call.cancel()
        if self._body is not None:
            self._body.close()

    async def aclose(self) -> None:
        """Cancel the rest of the call. Closing twice does no harm."""
        self._cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:
            self._cancel()


async def _read(call: Call, sender: _Sender[Any], statuses: _Statuses) -> pb.UpscaleResponse | None:
    """Return the next response; None at the end.

    The call is iterated, because its `read` gives nothing more once a write has failed: not the answers that came
    before the server ended the call, and not its status, which waits behind them.
    """
    sender.reader_waits = True
    try:
        response = await anext(aiter(call), None)
    except grpc.RpcError as error:
        if sender.error is None:
            raise await statuses.error(error) from error
        response = None
    except asyncio.CancelledError:
        # grpc.aio says this of a call that was cancelled, here or by the server, and of a task that is being cancelled.
        task = asyncio.current_task()
        if task is not None and task.cancelling() > 0:
            raise
        if sender.error is None:
            raise statuses.cancelled_error() from None
        response = None
    finally:
        sender.reader_waits = False
    if isinstance(response, pb.UpscaleResponse):
        return response
    # A source that raised has cancelled the call: its exception is the reason, the status only the consequence.
    if sender.error is not None:
        raise sender.error
    return None
