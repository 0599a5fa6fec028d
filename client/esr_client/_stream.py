"""One stream over a sync channel: gRPC's thread writes, the caller's thread reads."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar

import grpc

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._body import Body, Plan
from esr_client._config import Options
from esr_client._delivery import DropReason
from esr_client._errors import from_rpc
from esr_client._results import Negotiated, StreamStatistics
from esr_client._switches import Switches

if TYPE_CHECKING:
    from grpc import _CallIterator

__all__ = ["UpscaleStream"]

ItemT = TypeVar("ItemT")

Call: TypeAlias = "_CallIterator[pb.UpscaleResponse]"
StartCall: TypeAlias = Callable[[Iterator[pb.UpscaleRequest]], Call]


_PATIENCE_S = 0.01  # of a reader, before the server is thought to need more items for an answer


class _Sender(Generic[ItemT]):
    """The writing half. It knows nothing of the stream object, so that dropping that one ends the call."""

    def __init__(self, body: Body[ItemT], first: list[ItemT], source: Iterator[ItemT], switches: Switches) -> None:
        self.error: BaseException | None = None
        self._body = body
        self._switches = switches
        self._first = first
        self._source = source
        self._changed = threading.Condition()
        self._closed = False
        self.reader_waits = False
        """Whether the caller waits for an answer."""
        self._call: Call | None = None

    def requests(self) -> Iterator[pb.UpscaleRequest]:
        """Yield requests for gRPC's thread. They end early, with the call cancelled, when the source raises."""
        try:
            yield self._body.opening()
            for item in self._items():
                yield from self._switches.pop_requests()
                yield self._body.push(item)
        except GeneratorExit:
            raise
        except BaseException as error:  # of whatever kind: gRPC's thread would end in silence, and the call wait
            with self._changed:
                self.error = error
                call = self._call
            if call is not None:
                call.cancel()
        finally:
            self._switches.end()

    def _items(self) -> Iterator[ItemT]:
        # Wait first: a frame that cannot be sent yet is not asked of the caller's iterator.
        while self._wait_for_window():
            item = self._first.pop() if self._first else next(self._source, self)
            if isinstance(item, _Sender):
                return
            yield item

    def _wait_for_window(self) -> bool:
        patience_s = _PATIENCE_S if self._body.decoder_may_delay else None
        with self._changed:
            while not (self._closed or self._body.can_send):
                if not self._changed.wait(patience_s) and self.reader_waits:
                    self._body.grow_window()
            return not self._closed

    def attach(self, call: Call) -> None:
        """Tell the sender its call, which it ends if the source raises."""
        with self._changed:
            self._call = call
        call.add_callback(self.close)
        if self.error is not None:
            call.cancel()

    def wake(self) -> None:
        """Wake the sender, because the window may have moved."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class UpscaleStream(Generic[ItemT]):
    """Upscaled frames (or packets) in order: an iterator, and a context manager that cancels the call.

    The call begins when the first item is asked for. Items are taken from the caller's iterable on another thread, at
    most `Options.window` frames ahead of the answers taken; where frames may be dropped, as fast as gRPC takes them.
    Dropping the stream before its end cancels the call. An exception of the iterable, or of the caller's `on_drop`, is
    raised here, and the call is cancelled.
    """

    def __init__(self, start: StartCall, plan: Plan, items: Iterable[ItemT], options: Options) -> None:
        self._start = start
        self._plan = plan
        self._items = items
        self._options = options
        self._body: Body[ItemT] | None = None
        self._sender: _Sender[ItemT] | None = None
        self._call: Call | None = None
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

    def open(self) -> Negotiated | None:
        """Begin the call, wait for the negotiated stream and return it; None if there are no frames, hence no call.

        Raises:
            EsrError: the server refused the stream, or cannot be reached.
        """
        while self.negotiated is None and not self._ended:
            self._ready += self._step()
        return self.negotiated

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT:
        while not self._ready and not self._ended:
            self._ready += self._step()
        if not self._ready or self._body is None or self._sender is None:
            raise StopIteration
        self._body.mark_delivered()
        self._sender.wake()
        return self._ready.popleft()

    def _step(self) -> list[ItemT]:
        try:
            self._begin()
            return self._advance()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        if self._call is not None or self._ended:
            return
        source = iter(self._items)
        first = list(itertools.islice(source, 1)) if self._plan.peeks else []
        if self._plan.peeks and not first:
            self._end()
            return
        self._body = self._plan.body(first[0] if first else None, self._options)
        self._sender = _Sender(self._body, first, source, self._switches)
        self._call = self._start(self._sender.requests())
        self._sender.attach(self._call)

    def _advance(self) -> list[ItemT]:
        if self._body is None or self._sender is None or self._call is None:
            return []
        response = self._read(self._call, self._sender)
        if response is None:
            self._end()
            self._body.close()
            self._body.finish()
            return []
        items = self._body.pull(response)
        self._sender.wake()
        return items

    def _read(self, call: Call, sender: _Sender[ItemT]) -> pb.UpscaleResponse | None:
        sender.reader_waits = True
        try:
            response: pb.UpscaleResponse | None = next(call, None)
        except grpc.RpcError as error:
            if sender.error is None:
                raise from_rpc(error) from error
            response = None
        finally:
            sender.reader_waits = False
        # A source that raised has cancelled the call: its exception is the reason, the status only the consequence.
        if response is None and sender.error is not None:
            raise sender.error
        return response

    def _end(self) -> None:
        self._ended = True
        self._switches.end()

    def close(self) -> None:
        """Cancel the rest of the call. Closing twice does no harm."""
        self._end()
        if self._sender is not None:
            self._sender.close()
        if self._call is not None:
            self._call.cancel()
        if self._body is not None:
            self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:
            self.close()
