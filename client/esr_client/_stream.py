"""One stream over a sync channel: gRPC's thread writes, the caller's thread reads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar

import grpc

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._config import Options
from esr_client._errors import from_rpc
from esr_client._protocol import StreamProtocol, StreamSpec
from esr_client._results import Negotiated
from esr_client._stream_base import PATIENCE_S, StreamBase

if TYPE_CHECKING:
    from grpc import _CallIterator

__all__ = ["UpscaleStream"]

ItemT = TypeVar("ItemT")

Call: TypeAlias = "_CallIterator[pb.UpscaleResponse]"
StartCall: TypeAlias = Callable[[Iterator[pb.UpscaleRequest]], Call]


class _SyncTransport(Generic[ItemT]):
    def __init__(
        self, start: StartCall, protocol: StreamProtocol[ItemT], first: list[ItemT], source: Iterator[ItemT]
    ) -> None:
        self._protocol = protocol
        self._first = first
        self._source = source
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._reader_waits = False
        self._closed = False
        try:
            # Locked, because a source that raises at once has to wait for the call that it cancels.
            with self._changed:
                self._call = start(self._requests())
        except BaseException:
            self._close()
            raise
        self._call.add_callback(self._close)

    def _requests(self) -> Iterator[pb.UpscaleRequest]:
        """Yield requests for gRPC's thread. They end early, with the call cancelled, when the source raises."""
        try:
            yield self._protocol.config_request()
            # Wait first: a frame that cannot be sent yet is not asked of the caller's iterator.
            while self._wait_for_window():
                item = self._first.pop() if self._first else next(self._source, self)
                if isinstance(item, _SyncTransport):
                    return
                yield from self._protocol.requests_for(item)
        except GeneratorExit:
            raise
        except BaseException as error:  # of whatever kind: gRPC's thread would end in silence, and the call wait
            self._error = error
            with self._changed:
                call = self._call
            call.cancel()
        finally:
            self._protocol.end_input()

    def _wait_for_window(self) -> bool:
        patience_s = PATIENCE_S if self._protocol.decoder_may_delay else None
        with self._changed:
            while not (self._closed or self._protocol.can_send):
                if not self._changed.wait(patience_s) and self._reader_waits:
                    self._protocol.grow_window()
            return not self._closed

    def read(self) -> pb.UpscaleResponse | None:
        """Return the next response; None at the end."""
        self._reader_waits = True
        try:
            response: pb.UpscaleResponse | None = next(self._call, None)
        except grpc.RpcError as error:
            if self._error is None:
                raise from_rpc(error) from error
            response = None
        finally:
            self._reader_waits = False
        # A source that raised has cancelled the call: its exception is the reason, the status only the consequence.
        if response is None and self._error is not None:
            raise self._error
        return response

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def cancel(self) -> None:
        self._close()
        self._call.cancel()

    def _close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class UpscaleStream(StreamBase[ItemT, _SyncTransport[ItemT]]):
    """Upscaled frames (or packets) in order: an iterator, and a context manager that cancels the call.

    The call begins when the first item is asked for. Items are taken from the caller's iterable on another thread, at
    most `Options.window` frames ahead of the answers taken; where frames may be dropped, as fast as gRPC takes them.
    Dropping the stream before its end cancels the call. An exception of the iterable, or of the caller's `on_drop`, is
    raised here, and the call is cancelled.
    """

    def __init__(self, start: StartCall, spec: StreamSpec, items: Iterable[ItemT], options: Options) -> None:
        super().__init__(spec, options)
        self._start = start
        self._items = items

    def open(self) -> Negotiated | None:
        """Begin the call, wait for the negotiated stream and return it; None if there are no frames, hence no call.

        Raises:
            EsrError: the server refused the stream, or cannot be reached.
        """
        while self.negotiated is None and not self._ended:
            self._step()
        return self.negotiated

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT:
        while not self._ready and not self._ended:
            self._step()
        return self._pop(StopIteration)

    def _step(self) -> None:
        try:
            if self._transport is None and not self._ended:
                source = iter(self._items)
                first = list(itertools.islice(source, 1)) if self._spec.needs_first else []
                protocol = self._begin(first)
                if protocol is not None:
                    self._transport = _SyncTransport(self._start, protocol, first, source)
                    # Another thread may have closed the stream before it had a call to cancel.
                    if self._ended:
                        self._cancel()
            if self._transport is not None:
                self._receive(self._transport.read())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancel the rest of the call, or begin none. Closing twice does no harm; any thread may close."""
        self._cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
