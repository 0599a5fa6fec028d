"""One stream over an asyncio channel: gRPC's task writes, the caller's task reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

import grpc.aio

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._config import Options
from esr_client._errors import CallCancelledError, ServerError, from_rpc, from_status
from esr_client._protocol import StreamProtocol, StreamSpec
from esr_client._results import Negotiated
from esr_client._status_details import Metadata
from esr_client._stream_base import PATIENCE_S, StreamBase

__all__ = ["AsyncUpscaleStream"]

ItemT = TypeVar("ItemT")

Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.UpscaleRequest, pb.UpscaleResponse]"
StartCall: TypeAlias = Callable[[AsyncIterator[pb.UpscaleRequest]], Call]


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


class _AsyncTransport(Generic[ItemT]):
    def __init__(
        self, start: StartCall, protocol: StreamProtocol[ItemT], first: list[ItemT], source: AsyncIterator[ItemT]
    ) -> None:
        self._protocol = protocol
        self._first = first
        self._source = source
        self._window_moved = asyncio.Event()
        self._error: Exception | None = None
        self._reader_waits = False
        self._call = start(self._requests())
        self._statuses = _Statuses(self._call)

    async def _requests(self) -> AsyncIterator[pb.UpscaleRequest]:
        """Yield requests for gRPC's task. They end early, with the call cancelled, when the source raises."""
        try:
            yield self._protocol.config_request()
            while True:
                await self._wait_for_window()
                item = self._first.pop() if self._first else await anext(self._source)
                for request in self._protocol.requests_for(item):
                    yield request
        except StopAsyncIteration:
            return
        except Exception as error:
            self._error = error
            self._call.cancel()
        finally:
            self._protocol.end_input()

    async def _wait_for_window(self) -> None:
        patience_s = PATIENCE_S if self._protocol.decoder_may_delay else None
        while not self._protocol.can_send:
            self._window_moved.clear()
            try:
                await asyncio.wait_for(self._window_moved.wait(), patience_s)
            except TimeoutError:
                if self._reader_waits:
                    self._protocol.grow_window()

    async def read(self) -> pb.UpscaleResponse | None:
        """Return the next response; None at the end.

        The call is iterated, because its `read` gives nothing more once a write has failed: not the answers that came
        before the server ended the call, and not its status, which waits behind them.
        """
        self._reader_waits = True
        try:
            response = await anext(aiter(self._call), None)
        except grpc.RpcError as error:
            if self._error is None:
                raise await self._statuses.error(error) from error
            response = None
        except asyncio.CancelledError:
            # grpc.aio says this of a call that was cancelled, here or by the server, and of a task that is being
            # cancelled.
            task = asyncio.current_task()
            if task is not None and task.cancelling() > 0:
                raise
            if self._error is None:
                raise self._statuses.cancelled_error() from None
            response = None
        finally:
            self._reader_waits = False
        if isinstance(response, pb.UpscaleResponse):
            return response
        # A source that raised has cancelled the call: its exception is the reason, the status only the consequence.
        if self._error is not None:
            raise self._error
        return None

    def wake(self) -> None:
        self._window_moved.set()

    def cancel(self) -> None:
        self._call.cancel()


class AsyncUpscaleStream(StreamBase[ItemT, _AsyncTransport[ItemT]]):
    """Upscaled frames (or packets) in order: an asynchronous iterator, and a context manager that cancels the call.

    It is as `UpscaleStream`, but items are taken from the caller's iterable in another task.
    """

    def __init__(
        self, start: StartCall, spec: StreamSpec, items: AsyncIterable[ItemT] | Iterable[ItemT], options: Options
    ) -> None:
        super().__init__(spec, options)
        self._start = start
        self._items = items

    async def open(self) -> Negotiated | None:
        """Begin the call and wait for the negotiated stream as `UpscaleStream.open` does."""
        while self.negotiated is None and not self._ended:
            await self._step()
        return self.negotiated

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        while not self._ready and not self._ended:
            await self._step()
        return self._pop(StopAsyncIteration)

    async def _step(self) -> None:
        try:
            if self._transport is None and not self._ended:
                source = aiter(self._items) if isinstance(self._items, AsyncIterable) else _iterate(self._items)
                first: list[ItemT] = []
                if self._spec.needs_first:
                    with contextlib.suppress(StopAsyncIteration):
                        first.append(await anext(source))
                protocol = self._begin(first)
                if protocol is not None:
                    self._transport = _AsyncTransport(self._start, protocol, first, source)
            if self._transport is not None:
                self._receive(await self._transport.read())
        except BaseException:
            self._cancel()
            raise

    async def aclose(self) -> None:
        """Cancel the rest of the call, or begin none. Closing twice does no harm."""
        self._cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _iterate(items: Iterable[ItemT]) -> AsyncIterator[ItemT]:
    for item in items:
        yield item
