"""The stages of one stream: decode → deinterlace → upscale or drop → encode.

They do no I/O and start no thread of their own. One thread drives them at a time; only the frames of a stream without
codecs may be upscaled side by side.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esr_media.packet import Packet
from esr_server.codecs.codec import Codecs, EncodeStage, InProcessCodecs
from esr_server.config import Limits
from esr_server.errors import ProtocolError
from esr_server.models.cost import MeasuredCost
from esr_server.streaming.delivery import Dropped, Gate
from esr_server.streaming.items import Arrival, CodecStep, Result, StageSeconds
from esr_server.streaming.shared_memory import OutputBuffer
from esr_upscale.frame import Frame
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.deinterlace import deinterlacer
from esr_upscale.media.encode import EncodedFrame, EncoderSettings
from esr_upscale.models import Source
from esr_upscale.source import SourceTracker
from esr_upscale.upscaler import Upscaler

_MAX_REORDERED = 64  # packets whose frames may be outstanding; H.264 and HEVC reorder at most 16


@dataclass(frozen=True, slots=True)
class StagesConfig:
    """What a stream was asked to be. Without `decoder` its items are frames, without `encoder` its results are."""

    decoder: DecoderSettings | None = None
    encoder: EncoderSettings | None = None
    deinterlace: str = ""
    source_quantizer: float | None = None
    """How much coding damaged the source, where the client knows; None: it is estimated."""


class Model(Protocol):
    """What the stages need of a model."""

    @property
    def name(self) -> str: ...

    @property
    def costs(self) -> MeasuredCost: ...

    @property
    def upscaler(self) -> Upscaler: ...


@dataclass(slots=True)
class _Ticket:
    """What is remembered of a frame while a stage before its upscaling holds it."""

    sequence: int
    arrived_s: float
    stages: StageSeconds
    due_s: float
    source: Source | None = None
    """Where the frame comes from, as far as is known when its turn comes."""


class _EncoderBuffer(OutputBuffer):
    """Memory for a frame that goes to the encoder."""

    def __init__(self, encoder: EncodeStage) -> None:
        self._encoder = encoder

    def allocate(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        return self._encoder.allocate(shape, dtype)


class StreamStages:
    """The stages of one stream, and the order of what is in them. Implements `Stages`."""

    def __init__(
        self,
        config: StagesConfig,
        model: Callable[[], Model],
        limits: Limits,
        output: Callable[[], OutputBuffer] = OutputBuffer,
        concurrency: Callable[[], int] = lambda: 1,
        codecs: Codecs | None = None,
    ) -> None:
        """Open the codecs. `model` is asked before each frame; all that it gives have one scale. `output` says of
        each raw frame that goes out where it may lie, `concurrency` how many frames share the processor with it, itself
        included. These three are asked on the thread that upscales the frame. `codecs` opens decoder and encoder; None:
        in this process.

        Raises:
            CodecOptionError: a codec, an option or a deinterlacer is not on the allow-list.
        """
        self.is_frame_to_frame = config.decoder is None and config.encoder is None and not config.deinterlace
        self.frames_in = 0
        self.packets_in = 0
        self.packets_skipped = 0
        self._model = model
        self._limits = limits
        self._concurrency = concurrency
        codecs = codecs or InProcessCodecs()
        # A decoder has its deinterlacer behind it, in its own process; that of raw frames is here.
        self._deinterlacer = deinterlacer(config.deinterlace)
        self._decoder = codecs.decoder(config.decoder, config.deinterlace) if config.decoder else None
        self._source = SourceTracker(config.source_quantizer)
        try:
            self._encoder = codecs.encoder(config.encoder) if config.encoder else None
        except BaseException:
            if self._decoder:
                self._decoder.close()
            raise
        self._output = output if self._encoder is None else partial(_EncoderBuffer, self._encoder)
        self._arrivals: dict[int | None, Arrival] = {}
        self._waiting: deque[_Ticket] = deque()
        self._encoding: dict[int, Result] = {}
        self._encoder_frames = 0
        self._encode_s = 0.0

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
        """Take one item in; return its steps. `gate` is asked before a frame is upscaled.

        Raises:
            UpscaleError: whatever a stage raises; results before it stand.
            ProtocolError: the item is not what the config announced, or its number is not the next. Of a stream that
                `is_frame_to_frame` here, of others by the first step.
        """
        if not self.is_frame_to_frame:
            return self._push(arrival, gate)
        frame, ticket = self._raw_frame(arrival)
        (frame,) = self._deinterlacer.push(frame)  # it lets progressive frames pass, and raises on others
        ticket.source = self._source.source_of(frame)
        return self._upscale_one(frame, ticket, gate)

    def is_slow_to_take(self, arrival: Arrival) -> bool:
        """Return whether `push` will look at the whole picture, to tell how its source was made."""
        return self.is_frame_to_frame and isinstance(arrival.item, Frame) and self._source.is_due(arrival.item)

    def drop(self, arrival: Arrival) -> Result:
        """Take in a frame that was dropped while it waited for its turn.

        Raises:
            ProtocolError: its number is not the next.
        """
        assert isinstance(arrival.item, Dropped)
        self._check_number(arrival, self.frames_in)
        self.frames_in += 1
        return Result(arrival.item, arrival.sequence, arrival.at_s, StageSeconds(), arrival.due_s)

    def flush(self, gate: Gate) -> Iterator[Result | CodecStep]:
        """Return the steps that give everything that stages still hold at the end of the stream.

        Raises:
            UpscaleError: whatever a stage raises.
        """
        if self._decoder:
            last = Arrival(Packet(b""), self.packets_in, time.perf_counter())
            yield from self._decoded(self._decoder.flush(), last, 0.0, gate)
        else:
            yield from self._deinterlaced(self._deinterlacer.flush(), gate)
        if encoder := self._encoder:
            yield CodecStep(lambda: self._encoded(encoder.flush))

    def interrupt(self) -> None:
        """Stop a codec's call of another thread as soon as possible. Any thread may call it."""
        for codec in (self._decoder, self._encoder):
            if codec is not None:
                codec.interrupt()

    def close(self) -> None:
        """Release decoder and encoder, and their threads. Call it when no thread drives the stages any more."""
        for codec in (self._decoder, self._encoder):
            if codec is not None:
                codec.close()

    def _push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
        queued_s = time.perf_counter() - arrival.at_s
        if self._decoder is None:
            frame, ticket = self._raw_frame(arrival)
            ticket.stages = StageSeconds(queue=queued_s)
            self._waiting.append(ticket)
            yield from self._deinterlaced(self._deinterlacer.push(frame), gate)
            return
        if not isinstance(arrival.item, Packet):
            raise ProtocolError("the config announced packets, but a raw frame came")
        self._check_number(arrival, self.packets_in)
        self.packets_in += 1
        self._arrivals[arrival.item.pts] = arrival
        if len(self._arrivals) > _MAX_REORDERED:
            del self._arrivals[next(iter(self._arrivals))]
        yield from self._decoded(self._decoder.push(arrival.item), arrival, queued_s, gate)

    def _raw_frame(self, arrival: Arrival) -> tuple[Frame, _Ticket]:
        if isinstance(arrival.item, Packet):
            raise ProtocolError("the config announced raw frames, but a packet came")
        assert isinstance(arrival.item, Frame)
        self._check_number(arrival, self.frames_in)
        self.frames_in += 1
        return arrival.item, _Ticket(arrival.sequence, arrival.at_s, StageSeconds(), arrival.due_s)

    @staticmethod
    def _check_number(arrival: Arrival, expected: int) -> None:
        if arrival.sequence != expected:
            raise ProtocolError(f"sequence counts from 0 without gaps: {expected} was next, not {arrival.sequence}")

    def _decoded(
        self, frames: Iterable[Frame], last: Arrival, queued_s: float, gate: Gate
    ) -> Iterator[Result | CodecStep]:
        """Number the decoder's frames, time each, and give each the arrival of the packet that had its pts."""
        assert self._decoder is not None
        source, timed = iter(frames), deque[tuple[Frame, float]]()

        def decode() -> list[Result]:
            started = time.perf_counter()
            timed.extend((frame, time.perf_counter() - started) for frame in itertools.islice(source, 1))
            return []

        while True:
            yield CodecStep(decode)
            if not timed:
                break
            frame, decode_s = timed.popleft()
            came = self._arrivals.pop(frame.pts, last)
            stages = StageSeconds(decode=decode_s, queue=queued_s)
            ticket = _Ticket(self.frames_in, came.at_s, stages, came.due_s, self._source.source_of(frame))
            self.frames_in += 1
            yield from self._to_encoder(self._upscale(frame, ticket, gate))
        self.packets_skipped = self._decoder.packets_skipped

    def _deinterlaced(self, frames: Iterable[Frame], gate: Gate) -> Iterator[Result | CodecStep]:
        """Upscale raw frames that the deinterlacer gives; its time counts as decoding."""
        started = time.perf_counter()
        for frame in frames:
            ticket = self._waiting.popleft()
            ticket.stages = replace(ticket.stages, decode=time.perf_counter() - started)
            ticket.source = self._source.source_of(frame)
            yield from self._to_encoder(self._upscale(frame, ticket, gate))
            started = time.perf_counter()

    def _upscale_one(self, frame: Frame, ticket: _Ticket, gate: Gate) -> Iterator[Result]:
        ticket.stages = StageSeconds(queue=time.perf_counter() - ticket.arrived_s)
        yield self._upscale(frame, ticket, gate)

    def _upscale(self, frame: Frame, ticket: _Ticket, gate: Gate) -> Result:
        """Upscale a frame, or drop it. Nothing of the stages' state changes here: others do the same meanwhile."""
        model, concurrency = self._model(), self._concurrency()
        self._limits.check(frame.width, frame.height, model.upscaler.scale)
        reason = gate(ticket.arrived_s, concurrency * model.costs.current.of(frame.width * frame.height))
        if reason is not None:
            dropped = Dropped(frame.pts, reason)
            return Result(dropped, ticket.sequence, ticket.arrived_s, ticket.stages, ticket.due_s)
        output = self._output()
        try:
            done = model.upscaler(frame, output.allocate, concurrency, ticket.source)
        except BaseException:
            output.discard()
            raise
        if concurrency == 1:
            model.costs.upscaled(frame, done.luma_s + done.chroma_s)
        upscaled, placement = output.publish(done.frame)
        return Result(
            upscaled,
            ticket.sequence,
            ticket.arrived_s,
            replace(ticket.stages, luma=done.luma_s, chroma=done.chroma_s),
            ticket.due_s,
            model.name,
            placement,
            done.source,
        )

    def _to_encoder(self, result: Result) -> Iterator[Result | CodecStep]:
        if self._encoder is None or isinstance(result.item, Dropped):
            yield result
            return
        assert isinstance(result.item, Frame)
        encoder, frame = self._encoder, result.item
        # Without the picture: an encoder may hold many back.
        self._encoding[self._encoder_frames] = replace(result, item=Packet(b""))
        self._encoder_frames += 1
        yield CodecStep(lambda: self._encoded(lambda: encoder.push(frame)))

    def _encoded(self, encode: Callable[[], list[EncodedFrame]]) -> list[Result]:
        """Give each packet what is known of its frame. Time of calls that gave no packet goes to the next ones."""
        started = time.perf_counter()
        done = encode()
        self._encode_s += time.perf_counter() - started
        results: list[Result] = []
        for encoded in done:
            of = self._encoding.pop(encoded.index)
            stages = replace(of.stages, encode=self._encode_s / len(done))
            results.append(replace(of, item=encoded.packet, stages=stages))
        self._encode_s = 0.0 if done else self._encode_s
        return results
