"""The common part of the sync and the asyncio stream: the state, and what happens to each response."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._config import Options
from esr_client._delivery import DropCount, DropReason
from esr_client._protocol import ModelSwitch, StreamProtocol, StreamSpec
from esr_client._results import Negotiated, StreamStatistics

ItemT = TypeVar("ItemT")
TransportT = TypeVar("TransportT", bound="Transport")

PATIENCE_S = 0.01  # of a reader, before the server is thought to need more items for an answer


class Transport(Protocol):
    """The call of one stream. It knows nothing of the stream object: dropping the stream must end the call."""

    def wake(self) -> None:
        """Wake the sender, because the window may have moved."""

    def cancel(self) -> None:
        """Cancel the call. Cancelling twice does no harm."""


class StreamBase(Generic[ItemT, TransportT]):
    """A stream of either kind. Subclasses begin the call, wait for responses, and hand them to `_receive`."""

    def __init__(self, spec: StreamSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self._dropped = DropCount()
        self._switch = ModelSwitch()
        self._protocol: StreamProtocol[ItemT] | None = None
        self._transport: TransportT | None = None
        self._ready: deque[ItemT] = deque()
        self._ended = False

    @property
    def negotiated(self) -> Negotiated | None:
        """Return the negotiated stream; None before the first item came or `open` was called."""
        return self._protocol.negotiated if self._protocol else None

    @property
    def statistics(self) -> StreamStatistics | None:
        """Return the server's account; None before the end."""
        return self._protocol.statistics if self._protocol else None

    @property
    def dropped(self) -> Mapping[DropReason, int]:
        """Return how many frames the server has dropped so far, by reason."""
        return self._dropped.by_reason

    def switch_model(self, model: str) -> None:
        """Let the frames from the next one on be made by another model of the same scale. It ends a ladder.

        Any thread may call it, also before the first item was asked for. The wish goes out before the next frame that
        is sent; of several wishes before one frame the last counts. A frame's `model` says which one made it.

        Raises:
            ValueError: the name is empty.
            ClosedError: the stream has ended, or its last frame is sent.
        """
        self._switch.request(model)

    def _begin(self, first: list[ItemT]) -> StreamProtocol[ItemT] | None:
        """Return the protocol of the stream with this first item, if that is known; None where there is no call.

        There is none for a stream without items, or for one that was closed while its source made the first.
        """
        if self._ended or (self._spec.needs_first and not first):
            self._end()
            return None
        item = first[0] if first else None
        self._protocol = StreamProtocol(self._spec, item, self._options, self._dropped, self._switch)
        return self._protocol

    def _receive(self, response: pb.UpscaleResponse | None) -> None:
        """Make the items of a response ready; None is the end of the call.

        Raises:
            ContractError: it is not the response that should come next.
        """
        if self._protocol is None or self._transport is None:
            return
        if response is None:
            self._end()
            self._protocol.close()
            self._protocol.finish()
            return
        self._ready += self._protocol.receive(response)
        self._transport.wake()

    def _pop(self, end: type[Exception]) -> ItemT:
        """Return the next item, or raise `end`."""
        if not self._ready or self._protocol is None or self._transport is None:
            raise end
        self._protocol.mark_delivered()
        self._transport.wake()
        return self._ready.popleft()

    def _end(self) -> None:
        self._ended = True
        self._switch.end()

    def _cancel(self) -> None:
        self._end()
        if self._transport is not None:
            self._transport.cancel()
        if self._protocol is not None:
            self._protocol.close()

    def __del__(self) -> None:
        if getattr(self, "_transport", None) is not None:
            self._cancel()
