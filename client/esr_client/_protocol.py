"""One stream without any I/O: items become requests, responses become items, and both sides' counts are compared.

Nothing here waits or sends. The sync and the asyncio transport each drive one `StreamProtocol`: `config_request`, then
`requests_for` each item and `end_input`; `receive` for each response, then `finish`; and `close`, however it ended. One
thread may send while another receives.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Generic, Protocol, TypeVar

from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert, _convert_stream
from esr_client._config import Options, RawInput, RawOutput, StreamConfig
from esr_client._delivery import DropCount, Dropped, OnDrop
from esr_client._errors import ClosedError, ContractError, ErrorCode, FrameError
from esr_client._frame import Frame, Packet
from esr_client._frame_types import IDENTITY, FrameAdapter, FrameAdapters
from esr_client._results import Negotiated, StreamStatistics
from esr_client._shared_memory import memory_for

ItemT = TypeVar("ItemT")

# A deinterlacer looks at the fields around: it answers a frame only after it has seen later ones.
_DEINTERLACE_DELAY = 2


class StreamSpec(Protocol):
    """The description of a stream before its first item is known."""

    needs_first: ClassVar[bool]
    """Whether the config depends on the first item. If so, there is no call without one."""

    @property
    def on_drop(self) -> OnDrop | None: ...

    def config_for(self, first: object) -> StreamConfig:
        """Return the config of the stream that begins with the item `first`.

        Raises:
            FrameError: the item cannot be sent.
        """

    def adapter_for(self, item: object) -> FrameAdapter:
        """Return the adapter for the type of `item`.

        Raises:
            FrameError: the item cannot be sent.
        """


@dataclass(frozen=True, slots=True)
class FrameStreamSpec:
    """A stream of frames of any type: the first frame determines the input."""

    needs_first: ClassVar[bool] = True
    config: Callable[[RawInput], StreamConfig]
    adapters: FrameAdapters
    on_drop: OnDrop | None

    def config_for(self, first: object) -> StreamConfig:
        frame = self.adapter_for(first).to_frame(first)
        return self.config(RawInput(format=_convert.format_of(frame), time_base=frame.time_base))

    def adapter_for(self, item: object) -> FrameAdapter:
        return self.adapters.adapter_for(item)


@dataclass(frozen=True, slots=True)
class ConfigStreamSpec:
    """A stream of frames or packets with an explicit config."""

    needs_first: ClassVar[bool] = False
    config: StreamConfig
    on_drop: OnDrop | None

    def config_for(self, first: object) -> StreamConfig:
        return self.config

    def adapter_for(self, item: object) -> FrameAdapter:
        if isinstance(item, (Frame, Packet)):
            return IDENTITY
        raise FrameError(f"a stream takes esr_client.Frame or esr_client.Packet, not {type(item).__name__}")


class ModelSwitch:
    """The switch to another model before the next frame. Of several before one frame the last counts.

    Any thread may request one.
    """

    def __init__(self) -> None:
        # Reentrant, because the collector may end a forgotten stream at any allocation, on this thread too.
        self._lock = threading.RLock()
        self._model = ""
        self._ended = False

    def request(self, model: str) -> None:
        """Let the frames from the next one on be made by `model`.

        Raises:
            ValueError: the name is empty.
            ClosedError: no frame will be sent any more.
        """
        if not model:
            raise ValueError("a switch needs the name of a model")
        with self._lock:
            if self._ended:
                raise ClosedError(f"this stream has no frame left to send: it cannot switch to {model}")
            self._model = model

    def pop(self) -> str:
        """Return the model that was requested since the last call; empty if none was."""
        with self._lock:
            model, self._model = self._model, ""
        return model

    def end(self) -> None:
        with self._lock:
            self._ended = True


class StreamProtocol(Generic[ItemT]):
    """The state of one stream. `first` is its first item, if the spec needs that."""

    def __init__(
        self, spec: StreamSpec, first: ItemT | None, options: Options, dropped: DropCount, switch: ModelSwitch
    ) -> None:
        config = spec.config_for(first)
        self.negotiated: Negotiated | None = None
        self.statistics: StreamStatistics | None = None
        self._spec = spec
        self._config = config
        self._max_send_bytes = options.max_send_bytes
        raw_in, raw_out = isinstance(config.input, RawInput), isinstance(config.output, RawOutput)
        self._is_frame_to_frame = raw_in and raw_out
        self._has_window = raw_out and not config.delivery.drops
        self.decoder_may_delay = self._has_window and not raw_in
        """Whether the server may have to see more items than the window has before it can answer: packets of pictures
        that come in another order, or that cannot be decoded.
        """
        self._window = options.window + (_DEINTERLACE_DELAY if config.deinterlace else 0)
        self._dropped = dropped
        self._switch = switch
        # Of frames that are not answered yet; what the server drops is answered too, so that they do not pile up.
        self._adapters: deque[FrameAdapter] = deque()
        self._memory = memory_for(config, options, self._window)
        self._input_format = config.input.format
        self._output_format = config.input.format
        self._sent_count = self._received_count = self._delivered_count = 0

    # -- towards the server

    @property
    def can_send(self) -> bool:
        """Return whether one more item may be sent before an answer has been taken."""
        in_flight = self._sent_count - self._delivered_count - self._dropped.total
        return self._memory.open_to_frames and not (self._has_window and in_flight >= self._window)

    def mark_delivered(self) -> None:
        """Count one item of `receive` as delivered to the caller."""
        self._delivered_count += 1

    @property
    def _answer_count(self) -> int:
        return self._received_count + self._dropped.total

    def grow_window(self) -> None:
        """Let one more item be sent ahead of the answers."""
        self._window += 1

    def config_request(self) -> pb.UpscaleRequest:
        return _convert_stream.config_request(self._config, self._memory.offer)

    def requests_for(self, item: ItemT) -> Iterator[pb.UpscaleRequest]:
        """Yield the requests for one item: a model switch that was requested before it, and the item.

        Raises:
            FrameError: the item cannot be sent on this stream.
        """
        model = self._switch.pop()
        if model:
            yield pb.UpscaleRequest(switch_model=pb.SwitchModel(model=model))
        adapter = self._spec.adapter_for(item)
        value = adapter.to_frame(item)
        if not isinstance(value, Packet):
            request = self._frame_request(value)
        elif isinstance(self._config.input, RawInput):
            raise FrameError("this stream takes raw frames, not packets")
        else:
            request = pb.UpscaleRequest(packet=_convert.packet_to(value, self._sent_count))
        request.freed_output_slots.extend(self._memory.pop_freed_slots())
        if self._is_frame_to_frame:
            self._adapters.append(adapter)
        self._sent_count += 1
        yield request

    def end_input(self) -> None:
        """Refuse model switches from now on, because no item is left to send."""
        self._switch.end()

    def _frame_request(self, frame: Frame) -> pb.UpscaleRequest:
        if not isinstance(self._config.input, RawInput):
            raise FrameError("this stream takes packets, not frames")
        size = sum(plane.nbytes for plane in frame.planes)
        if size > self._max_send_bytes:
            raise FrameError(
                f"a {frame.width}x{frame.height} {frame.pixel_format} frame has {size} bytes, more than the "
                f"{self._max_send_bytes} of this client's limits; raise max_frame_pixels",
                code=ErrorCode.RESOURCE_EXHAUSTED,
            )
        frame = _in_time_base(frame, self._config.input.time_base)
        request = pb.UpscaleRequest()
        slot = self._memory.put(self._sent_count, frame.planes)
        _convert.fill_frame(request.frame, frame, self._sent_count, self._input_format, slot)
        if request.frame.HasField("format"):
            self._input_format = _convert.format_of(frame)
        return request

    # -- from the server

    def receive(self, response: pb.UpscaleResponse) -> list[ItemT]:
        """Return the items of one response, in order: none, one, or several frames.

        Raises:
            ContractError: it is not the response that should come next.
        """
        which = response.WhichOneof("payload")
        if self.statistics is not None:
            raise ContractError("the server sent more after the statistics")
        if (which == "negotiated") is (self.negotiated is not None):
            next_payloads = "a frame, a packet, a drop or the statistics"
            expected = "its negotiated answer" if self.negotiated is None else next_payloads
            raise ContractError(f"the server sent {which or 'an empty response'} where {expected} was expected")
        match which:
            case "negotiated":
                answer = _convert_stream.negotiated_from(response.negotiated)
                self._memory.settle(answer.shared_memory)
                refusal = answer.shared_memory_refusal or self._memory.refusal
                self.negotiated = replace(answer, shared_memory_refusal=refusal)
                self._output_format = self.negotiated.output_format
            case "frame":
                return [self._frame_from(message) for message in (response.frame, *response.more_frames)]
            case "packet":
                self._received_count += 1
                self._memory.release_input(response.packet.sequence)
                return [_convert.packet_from(response.packet)]  # type: ignore[list-item]
            case "dropped":
                self._count_dropped(_convert_stream.dropped_from(response.dropped))
            case "statistics":
                self.statistics = _convert_stream.statistics_from(response.statistics)
            case _:
                raise ContractError("the server sent an empty response")
        return []

    def _frame_from(self, message: pb.Frame) -> ItemT:
        adapter = self._next_adapter("sent", message.sequence)
        if message.HasField("format"):
            self._output_format = _convert.format_from(message.format)
        slot = self._memory.take(message.slot.index) if message.HasField("slot") else None
        time_base = self.negotiated.time_base if self.negotiated else self._config.input.time_base
        frame = _convert.frame_from(message, self._output_format, time_base, slot)
        self._memory.release_input(message.sequence)
        self._received_count += 1
        item: ItemT = adapter.from_frame(frame)
        return item

    def _next_adapter(self, verb: str, sequence: int) -> FrameAdapter:
        """Return the adapter of the oldest frame without an answer, if this answer is for it."""
        if sequence != self._answer_count:
            raise ContractError(f"the server {verb} frame {sequence} where frame {self._answer_count} was expected")
        if not self._is_frame_to_frame:
            return IDENTITY
        if not self._adapters:
            raise ContractError(f"the server {verb} frame {sequence}, which was not requested")
        return self._adapters.popleft()

    def _count_dropped(self, dropped: Dropped) -> None:
        if not self._config.delivery.drops:
            raise ContractError(f"the server dropped frame {dropped.sequence} of a lossless stream")
        # An encoder holds packets back, so a drop has an exact place only in a stream of frames.
        if isinstance(self._config.output, RawOutput):
            self._next_adapter("dropped", dropped.sequence)
        self._memory.release_input(dropped.sequence)
        self._dropped.add(dropped)
        if self._spec.on_drop is not None:
            self._spec.on_drop(dropped)

    # -- the end

    def close(self) -> None:
        """Give back what the stream holds. Frames that lie in shared memory keep that alive."""
        self._memory.close()

    def finish(self) -> None:
        """Compare what was sent and received with the server's account.

        Raises:
            ContractError: there is none, or it differs.
        """
        if self.statistics is None:
            raise ContractError("the server ended the stream without its statistics")
        statistics = self.statistics
        answered = statistics.frames_out + statistics.frames_dropped + statistics.frames_failed
        counts = [
            ("frames sent", self._sent_count, statistics.frames_in)
            if isinstance(self._config.input, RawInput)
            else ("packets sent", self._sent_count, statistics.packets_in),
            ("frames received", self._received_count, statistics.frames_out)
            if isinstance(self._config.output, RawOutput)
            else ("packets received", self._received_count, statistics.packets_out),
            ("frames dropped", self._dropped.total, statistics.frames_dropped),
            (
                "frames answered",
                self._answer_count,
                self._sent_count if self._is_frame_to_frame else self._answer_count,
            ),
            ("frames accounted for", answered, statistics.frames_in),
        ]
        for what, here, there in counts:
            if here != there:
                raise ContractError(f"{what}: {here} by this client's count, {there} by the server's")


def _in_time_base(frame: Frame, time_base: Fraction) -> Frame:
    if frame.time_base == time_base:
        return frame
    ratio = frame.time_base / time_base
    pts = None if frame.pts is None else frame.pts * ratio
    if pts is not None and pts.denominator != 1:
        raise FrameError(f"pts {frame.pts} in {frame.time_base} s is not a multiple of this stream's {time_base} s")
    duration = None if frame.duration is None else round(frame.duration * ratio)
    return replace(frame, pts=None if pts is None else int(pts), duration=duration, time_base=time_base)
