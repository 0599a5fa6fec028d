"""One stream: decode → deinterlace → upscale or drop → encode, in order, every frame accounted for.

A session is a fold over stages. It does no I/O, starts no thread, and is driven by one thread at a time, but for the
frames of a stream without codecs: those may be upscaled side by side.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from esr_server.config import Limits
from esr_server.costs import MeasuredCost
from esr_server.delivery import Dropped, Gate
from esr_server.errors import LostFrameError, ProtocolError
from esr_server.shared_memory import OutputBuffer, SlotPlanes
from esr_upscale.frame import Frame
from esr_upscale.media.decode import Decoder, DecoderSettings
from esr_upscale.media.deinterlace import deinterlacer
from esr_upscale.media.encode import EncodedFrame, Encoder, EncoderSettings
from esr_upscale.models import Source
from esr_upscale.packet import Packet
from esr_upscale.source import SourceTracker
from esr_upscale.upscaler import Upscaled, Upscaler

_MAX_REORDERED = 64  # packets whose frames may be outstanding; H.264 and HEVC reorder at most 16


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a stream was asked to be. Without `decoder` its items are frames, without `encoder` its results are."""

    decoder: DecoderSettings | None = None
    encoder: EncoderSettings | None = None
    deinterlace: str = ""
    source_quantizer: float | None = None
    """How much coding damaged the source, where the client knows; None: it is estimated."""


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds that one frame, or the sum of many, spent in each stage."""

    decode: float = 0.0
    queue: float = 0.0
    luma: float = 0.0
    chroma: float = 0.0
    encode: float = 0.0

    def __add__(self, other: StageSeconds) -> StageSeconds:
        return StageSeconds(
            self.decode + other.decode,
            self.queue + other.queue,
            self.luma + other.luma,
            self.chroma + other.chroma,
            self.encode + other.encode,
        )


class Model(Protocol):
    """What a session needs of a model."""

    @property
    def name(self) -> str: ...

    @property
    def costs(self) -> MeasuredCost: ...

    @property
    def upscaler(self) -> Upscaler: ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """An item as it came in: its number, when it came and when it is due (`time.perf_counter` seconds).

    A frame that was dropped on its way here has become a `Dropped`.
    """

    item: Frame | Packet | Dropped
    sequence: int
    at_s: float
    due_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Result:
    """An item as it goes out: with the number, the times and the model of the frame it was made from."""

    item: Frame | Packet | Dropped
    sequence: int
    arrived_s: float
    stages: StageSeconds
    due_s: float = math.inf
    model: str = ""
    """Canonical id."""
    placement: SlotPlanes | None = None
    """Where in shared memory the frame's planes lie too; None where they do not."""
    source: Source | None = None
    """For which the weights are that made it; None: for all sources."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Work of an encoder, which may take long. The caller runs it, on any thread, before it drives on."""

    run: Callable[[], list[Result]]


@dataclass(slots=True)
class StreamStatistics:
    """What a stream has done so far."""

    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    model_switches: int = 0
    packets_in: int = 0
    packets_out: int = 0
    packets_skipped: int = 0
    stages: StageSeconds = field(default_factory=StageSeconds)


@dataclass(slots=True)
class _Ticket:
    """What is remembered of a frame while a stage before its upscaling holds it."""

    sequence: int
    arrived_s: float
    stages: StageSeconds
    due_s: float
    source: Source | None = None
    """Where the frame comes from, as far as is known when its turn comes."""


class Session:
    """The state of one stream. `push` and `flush` give results lazily: each is ready before the next is begun. Where
    each item gives one result, `begin` and `settle` do the same in two halves, with work between them that several
    threads may share.
    """

    def __init__(
        self,
        config: SessionConfig,
        model: Callable[[], Model],
        limits: Limits,
        output: Callable[[], OutputBuffer] = OutputBuffer,
        concurrency: Callable[[], int] = lambda: 1,
    ) -> None:
        """Open the stages. `model` is asked before each frame; all that it gives have one scale. `output` says of
        each raw frame that goes out where it may lie, `concurrency` how many frames share the processor with it, itself
        included. These three are asked on the thread that upscales the frame.

        Raises:
            CodecOptionError: a codec, an option or a deinterlacer is not on the allow-list.
        """
        self.statistics = StreamStatistics()
        self._model = model
        self._ran = ""
        self._limits = limits
        self._output = OutputBuffer if config.encoder else output
        self._concurrency = concurrency
        self._decoder = Decoder(config.decoder) if config.decoder else None
        self._deinterlaces = bool(config.deinterlace)
        self.is_frame_to_frame = config.decoder is None and config.encoder is None and not config.deinterlace
        """Whether each item that is pushed gives one result at once."""
        self._deinterlacer = deinterlacer(config.deinterlace)
        self._source = SourceTracker(config.source_quantizer)
        self._encoder = Encoder(config.encoder) if config.encoder else None
        self._arrivals: dict[int | None, Arrival] = {}
        self._waiting: deque[_Ticket] = deque()
        self._encoding: dict[int, Result] = {}
        self._encoder_frames = 0
        self._encode_s = 0.0

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | Encoding]:
        """Take one item in; give what has become ready, or work that will. `gate` is asked before a frame is upscaled.

        Raises:
            UpscaleError: whatever a stage raises; results given before it stand.
            ProtocolError: the item is not what the config announced, or its number is not the next.
        """
        if isinstance(arrival.item, Dropped):
            yield self._dropped_before(arrival, arrival.item)
            return
        queued_s = time.perf_counter() - arrival.at_s
        for frame, ticket in self._frames(arrival, queued_s):
            self._waiting.append(ticket)
            yield from self._upscaled(self._deinterlacer.push(frame), gate)

    def begin(self, arrival: Arrival, gate: Gate) -> Callable[[], Result]:
        """Take one item of a stream that `is_frame_to_frame`; give the work that makes its result, for any thread, also
        beside that of other items. `settle` takes the results, in order.

        Raises:
            ProtocolError, FrameError: as `push`. The work raises what the upscaling raises.
        """
        ((given, ticket),) = self._frames(arrival, 0.0)
        (frame,) = self._deinterlacer.push(given)  # lets progressive frames pass
        ticket.source = self._source.source_of(frame)

        def work() -> Result:
            ticket.stages = StageSeconds(queue=time.perf_counter() - ticket.arrived_s)
            return self._made(frame, ticket, gate)

        return work

    def settle(self, result: Result) -> None:
        self._note(result)
        self._count(result)

    def flush(self, gate: Gate) -> Iterator[Result | Encoding]:
        """End of the stream: give everything that stages still hold.

        Raises:
            UpscaleError: whatever a stage raises.
            LostFrameError: a stage kept a frame; a stream that ends well answers every one.
        """
        if self._decoder:
            last = Arrival(Packet(b""), self.statistics.packets_in, time.perf_counter())
            for frame, ticket in self._decoded(self._decoder.flush(), last, 0.0):
                self._waiting.append(ticket)
                yield from self._upscaled(self._deinterlacer.push(frame), gate)
        yield from self._upscaled(self._deinterlacer.flush(), gate)
        if encoder := self._encoder:
            yield Encoding(lambda: self._encoded(encoder.flush))
        done = self.statistics
        if done.frames_in != done.frames_out + done.frames_dropped:
            raise LostFrameError(
                f"{done.frames_in} frames went in, {done.frames_out} came out and {done.frames_dropped} were dropped"
            )

    def close(self) -> None:
        """Release decoder and encoder, and their threads. Call it when no thread drives the session any more."""
        for codec in (self._decoder, self._encoder):
            if codec is not None:
                codec.close()

    def _frames(self, arrival: Arrival, queued_s: float) -> Iterator[tuple[Frame, _Ticket]]:
        item = arrival.item
        if isinstance(item, Packet):
            if self._decoder is None:
                raise ProtocolError("the config announced raw frames, and a packet came")
            self._check_number(arrival, self.statistics.packets_in)
            self.statistics.packets_in += 1
            self._remember(item.pts, arrival)
            yield from self._decoded(self._decoder.push(item), arrival, queued_s)
            return
        if self._decoder is not None:
            raise ProtocolError("the config announced packets, and a raw frame came")
        assert isinstance(item, Frame)
        self._check_number(arrival, self.statistics.frames_in)
        self.statistics.frames_in += 1
        yield item, _Ticket(arrival.sequence, arrival.at_s, StageSeconds(queue=queued_s), arrival.due_s)

    def _dropped_before(self, arrival: Arrival, dropped: Dropped) -> Result:
        """Count a frame that was dropped while it waited for its turn."""
        self._check_number(arrival, self.statistics.frames_in)
        self.statistics.frames_in += 1
        result = Result(dropped, arrival.sequence, arrival.at_s, StageSeconds(), arrival.due_s)
        self._count(result)
        return result

    @staticmethod
    def _check_number(arrival: Arrival, expected: int) -> None:
        if arrival.sequence != expected:
            raise ProtocolError(f"sequence counts from 0 without gaps: {expected} was next, not {arrival.sequence}")

    def _remember(self, pts: int | None, arrival: Arrival) -> None:
        self._arrivals[pts] = arrival
        if len(self._arrivals) > _MAX_REORDERED:
            del self._arrivals[next(iter(self._arrivals))]

    def _decoded(self, frames: Iterable[Frame], last: Arrival, queued_s: float) -> Iterator[tuple[Frame, _Ticket]]:
        """Number the decoder's frames, time each, and give each the arrival of the packet that had its pts."""
        assert self._decoder is not None
        started = time.perf_counter()
        for frame in frames:
            decode_s = time.perf_counter() - started
            came = self._arrivals.pop(frame.pts, last)
            stages = StageSeconds(decode=decode_s, queue=queued_s)
            ticket = _Ticket(self.statistics.frames_in, came.at_s, stages, came.due_s)
            self.statistics.frames_in += 1
            yield frame, ticket
            started = time.perf_counter()
        self.statistics.packets_skipped = self._decoder.packets_skipped

    def _upscaled(self, frames: Iterable[Frame], gate: Gate) -> Iterator[Result | Encoding]:
        """Upscale what comes out of the deinterlacer, whose time counts as decoding: both make frames of fields."""
        started = time.perf_counter()
        for frame in frames:
            ticket = self._waiting.popleft()
            if self._deinterlaces:
                decode_s = ticket.stages.decode + time.perf_counter() - started
                ticket.stages = replace(ticket.stages, decode=decode_s)
            ticket.source = self._source.source_of(frame)
            result = self._made(frame, ticket, gate)
            self._note(result)
            yield from self._delivered(result)
            started = time.perf_counter()

    def _made(self, frame: Frame, ticket: _Ticket, gate: Gate) -> Result:
        """Upscale a frame, or drop it. Nothing of the stream's state changes here."""
        model, concurrency = self._model(), self._concurrency()
        self._limits.check(frame.width, frame.height, model.upscaler.scale)
        reason = gate(ticket.arrived_s, concurrency * model.costs.current.of(frame.width * frame.height))
        if reason is not None:
            dropped = Dropped(frame.pts, reason)
            return Result(dropped, ticket.sequence, ticket.arrived_s, ticket.stages, ticket.due_s)
        upscaled, placement, done = self._upscale(model, frame, concurrency, ticket.source)
        stages = replace(ticket.stages, luma=done.luma_s, chroma=done.chroma_s)
        return Result(
            upscaled,
            ticket.sequence,
            ticket.arrived_s,
            stages,
            ticket.due_s,
            model.name,
            placement,
            done.source,
        )

    def _upscale(
        self, model: Model, frame: Frame, concurrency: int, source: Source | None
    ) -> tuple[Frame, SlotPlanes | None, Upscaled]:
        output = self._output()
        try:
            done = model.upscaler(frame, output.allocate, concurrency, source)
        except BaseException:
            output.discard()
            raise
        if concurrency == 1:
            model.costs.upscaled(frame, done.luma_s + done.chroma_s)
        return *output.publish(done.frame), done

    def _note(self, result: Result) -> None:
        """Write down by which model a frame was upscaled, if it was."""
        if result.model:
            self.statistics.model_switches += self._ran not in ("", result.model)
            self._ran = result.model

    def _delivered(self, result: Result) -> Iterator[Result | Encoding]:
        if self._encoder is None or isinstance(result.item, Dropped):
            self._count(result)
            yield result
            return
        assert isinstance(result.item, Frame)
        encoder, frame = self._encoder, result.item
        # Without the picture: an encoder may hold many back.
        self._encoding[self._encoder_frames] = replace(result, item=Packet(b""))
        self._encoder_frames += 1
        yield Encoding(lambda: self._encoded(lambda: encoder.push(frame)))

    def _encoded(self, encode: Callable[[], list[EncodedFrame]]) -> list[Result]:
        """Give each packet what is known of its frame. Time of calls that gave no packet goes to the next ones."""
        started = time.perf_counter()
        done = encode()
        self._encode_s += time.perf_counter() - started
        results: list[Result] = []
        for encoded in done:
            of = self._encoding.pop(encoded.index)
            result = replace(of, item=encoded.packet, stages=replace(of.stages, encode=self._encode_s / len(done)))
            self.statistics.packets_out += 1
            self._count(result)
            results.append(result)
        self._encode_s = 0.0 if done else self._encode_s
        return results

    def _count(self, result: Result) -> None:
        """Enter a result into the statistics."""
        if isinstance(result.item, Dropped):
            self.statistics.frames_dropped += 1
        else:
            self.statistics.frames_out += 1
            self.statistics.stages += result.stages
