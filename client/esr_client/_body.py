"""One stream without its transport: items become requests, responses become items, and the account is kept.

Nothing here waits or sends. The sync and the asyncio transport each drive one `Body`: `opening`, then `push` for each
item, and `pull` for each response, then `finish`; and `close`, however it ended. One thread may push while another
pulls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Generic, TypeVar

from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert
from esr_client._config import Options, RawInput, RawOutput, StreamConfig
from esr_client._delivery import DropCount, Dropped, OnDrop
from esr_client._errors import ContractError, ErrorCode, FrameError
from esr_client._frame import Frame, Packet
from esr_client._kinds import IDENTITY, FrameAdapter, FrameAdapters
from esr_client._results import Negotiated, StreamStatistics
from esr_client._shared_memory import memory_for

ItemT = TypeVar("ItemT")

# A deinterlacer looks at the fields around: it answers a frame only after it has seen later ones.
_DEINTERLACE_DELAY = 2


def _frame_kind(item: object) -> FrameAdapter:
    if isinstance(item, (Frame, Packet)):
        return IDENTITY
    raise FrameError(f"a stream takes esr_client.Frame or esr_client.Packet, not {type(item).__name__}")


class Plan:
    """A stream to come, before its first item is known."""

    def __init__(
        self,
        config: Callable[[object], StreamConfig],
        kind: Callable[[object], FrameAdapter],
        *,
        peeks: bool,
        on_drop: OnDrop | None,
    ) -> None:
        self._config = config
        self._kind = kind
        self._on_drop = on_drop
        self.peeks = peeks
        """Whether the config needs the first item; without one there is no stream."""
        self.dropped = DropCount()
        """Of the stream, from before it begins."""

    @classmethod
    def for_frames(
        cls, config: Callable[[RawInput], StreamConfig], kinds: FrameAdapters, on_drop: OnDrop | None
    ) -> Plan:
        """Plan a stream of frames of any kind: the first one says what the input is."""

        def config_for(first: object) -> StreamConfig:
            frame = kinds.kind_of(first).to_frame(first)
            return config(RawInput(format=_convert.format_of(frame), time_base=frame.time_base))

        return cls(config_for, kinds.kind_of, peeks=True, on_drop=on_drop)

    @classmethod
    def for_config(cls, config: StreamConfig, on_drop: OnDrop | None) -> Plan:
        """Plan a stream of frames or packets, as an explicit config says."""
        return cls(lambda _: config, _frame_kind, peeks=False, on_drop=on_drop)

    def body(self, first: object, options: Options) -> Body[Any]:
        """Return the body of the stream that begins with the item `first`.

        Raises:
            FrameError: the item cannot be sent.
        """
        return Body(self._config(first), self._kind, options, self.dropped, self._on_drop)


class Body(Generic[ItemT]):
    """One stream without its transport."""

    def __init__(
        self,
        config: StreamConfig,
        kind: Callable[[object], FrameAdapter],
        options: Options,
        dropped: DropCount,
        on_drop: OnDrop | None,
    ) -> None:
        self.negotiated: Negotiated | None = None
        self.statistics: StreamStatistics | None = None
        self._config = config
        self._kind = kind
        self._max_send_bytes = options.max_send_bytes
        raw_in, raw_out = isinstance(config.input, RawInput), isinstance(config.output, RawOutput)
        self._answers_each = raw_in and raw_out
        self._waits = raw_out and not config.delivery.drops
        self.decoder_may_delay = self._waits and not raw_in
        """Whether the server may have to see more items than the window has before it can answer: packets of pictures
        that come in another order, or that cannot be decoded.
        """
        self._window = options.window + (_DEINTERLACE_DELAY if config.deinterlace else 0)
        self._dropped = dropped
        self._on_drop = on_drop
        # Of frames that are not answered yet; what the server drops is answered too, so that they do not pile up.
        self._kinds: deque[FrameAdapter] = deque()
        self._memory = memory_for(config, options, self._window)
        self._input_format = config.input.format
        self._output_format = config.input.format
        self._sent = self._received = self._delivered = 0

    # -- towards the server

    @property
    def can_send(self) -> bool:
        """Return whether one more item may be sent before an answer has been taken."""
        in_flight = self._sent - self._delivered - self._dropped.total
        return self._memory.open_to_frames and not (self._waits and in_flight >= self._window)

    def mark_delivered(self) -> None:
        """Count one item of `pull` as delivered to the caller."""
        self._delivered += 1

    @property
    def _answer_count(self) -> int:
        return self._received + self._dropped.total

    def grow_window(self) -> None:
        """Let one more item be sent ahead of the answers."""
        self._window += 1

    def opening(self) -> pb.UpscaleRequest:
        return _convert.config_request(self._config, self._memory.offer)

    def push(self, item: ItemT) -> pb.UpscaleRequest:
        """Return the request for one item.

        Raises:
            FrameError: the item cannot be sent on this stream.
        """
        kind = self._kind(item)
        value = kind.to_frame(item)
        if not isinstance(value, Packet):
            request = self._frame(value)
        elif isinstance(self._config.input, RawInput):
            raise FrameError("a packet on a stream of raw frames")
        else:
            request = pb.UpscaleRequest(packet=_convert.packet_to(value, self._sent))
        request.freed_output_slots.extend(self._memory.pop_freed_slots())
        if self._answers_each:
            self._kinds.append(kind)
        self._sent += 1
        return request

    def _frame(self, frame: Frame) -> pb.UpscaleRequest:
        if not isinstance(self._config.input, RawInput):
            raise FrameError("a frame on a stream of packets")
        size = sum(plane.nbytes for plane in frame.planes)
        if size > self._max_send_bytes:
            raise FrameError(
                f"a {frame.width}x{frame.height} {frame.pixel_format} frame has {size} bytes, more than the "
                f"{self._max_send_bytes} of this client's limits; raise max_frame_pixels",
                code=ErrorCode.RESOURCE_EXHAUSTED,
            )
        frame = _in_time_base(frame, self._config.input.time_base)
        request = pb.UpscaleRequest()
        slot = self._memory.put(self._sent, frame.planes)
        _convert.fill_frame(request.frame, frame, self._sent, self._input_format, slot)
        if request.frame.HasField("format"):
            self._input_format = _convert.format_of(frame)
        return request

    # -- from the server

    def pull(self, response: pb.UpscaleResponse) -> list[ItemT]:
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
            raise ContractError(f"the server sent {which or 'an empty response'} where {expected} comes")
        match which:
            case "negotiated":
                answer = _convert.negotiated_from(response.negotiated)
                self._memory.settle(answer.shared_memory)
                refusal = answer.shared_memory_refusal or self._memory.refusal
                self.negotiated = replace(answer, shared_memory_refusal=refusal)
                self._output_format = self.negotiated.output_format
            case "frame":
                return [self._frame_from(message) for message in (response.frame, *response.more_frames)]
            case "packet":
                self._received += 1
                self._memory.release_input(response.packet.sequence)
                return [_convert.packet_from(response.packet)]  # type: ignore[list-item]
            case "dropped":
                self._count_dropped(_convert.dropped_from(response.dropped))
            case "statistics":
                self.statistics = _convert.statistics_from(response.statistics)
            case _:
                raise ContractError("the server sent an empty response")
        return []

    def _frame_from(self, message: pb.Frame) -> ItemT:
        kind = self._next_kind("sent", message.sequence)
        if message.HasField("format"):
            self._output_format = _convert.format_from(message.format)
        slot = self._memory.take(message.slot.index) if message.HasField("slot") else None
        time_base = self.negotiated.time_base if self.negotiated else self._config.input.time_base
        frame = _convert.frame_from(message, self._output_format, time_base, slot)
        self._memory.release_input(message.sequence)
        self._received += 1
        item: ItemT = kind.from_frame(frame)
        return item

    def _next_kind(self, verb: str, sequence: int) -> FrameAdapter:
        """Return the kind of the oldest frame without an answer, if this answer is for it."""
        if sequence != self._answer_count:
            raise ContractError(f"the server {verb} frame {sequence} where frame {self._answer_count} comes")
        if not self._answers_each:
            return IDENTITY
        if not self._kinds:
            raise ContractError(f"the server {verb} frame {sequence}, which nobody asked for")
        return self._kinds.popleft()

    def _count_dropped(self, dropped: Dropped) -> None:
        if not self._config.delivery.drops:
            raise ContractError(f"the server dropped frame {dropped.sequence} of a lossless stream")
        # An encoder holds packets back, so a drop has an exact place only in a stream of frames.
        if isinstance(self._config.output, RawOutput):
            self._next_kind("dropped", dropped.sequence)
        self._memory.release_input(dropped.sequence)
        self._dropped.add(dropped)
        if self._on_drop is not None:
            self._on_drop(dropped)

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
        for what, here, there in self._accounts(self.statistics):
            if here != there:
                raise ContractError(f"{what}: {here} by this client's count, {there} by the server's")

    def _accounts(self, statistics: StreamStatistics) -> Iterator[tuple[str, int, int]]:
        raw_in, raw_out = isinstance(self._config.input, RawInput), isinstance(self._config.output, RawOutput)
        yield (
            ("frames sent", self._sent, statistics.frames_in)
            if raw_in
            else ("packets sent", self._sent, statistics.packets_in)
        )
        yield (
            ("frames received", self._received, statistics.frames_out)
            if raw_out
            else ("packets received", self._received, statistics.packets_out)
        )
        yield "frames dropped", self._dropped.total, statistics.frames_dropped
        if self._answers_each:
            yield "frames answered", self._answer_count, self._sent
        yield (
            "frames accounted for",
            statistics.frames_out + statistics.frames_dropped + statistics.frames_failed,
            statistics.frames_in,
        )


def _in_time_base(frame: Frame, time_base: Fraction) -> Frame:
    if frame.time_base == time_base:
        return frame
    ratio = frame.time_base / time_base
    pts = None if frame.pts is None else frame.pts * ratio
    if pts is not None and pts.denominator != 1:
        raise FrameError(f"pts {frame.pts} in {frame.time_base} s is no whole number of this stream's {time_base} s")
    duration = None if frame.duration is None else round(frame.duration * ratio)
    return replace(frame, pts=None if pts is None else int(pts), duration=duration, time_base=time_base)
