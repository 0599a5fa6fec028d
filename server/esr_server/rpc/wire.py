"""The messages of one Upscale call: its config and requests in, its responses out. Behind this there is no protobuf."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

import grpc.aio

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import Limits
from esr_server.errors import ProtocolError
from esr_server.models.served import ServedModel
from esr_server.rpc import convert
from esr_server.rpc.config import stream_config
from esr_server.rpc.negotiation import StreamConfig, StreamParams, VideoFormat
from esr_server.streaming.delivery import Dropped
from esr_server.streaming.items import Arrival, Result, StreamStatistics
from esr_server.streaming.shared_memory import InlineMemory
from esr_upscale.frame import Frame

Requests: TypeAlias = AsyncIterator[pb.UpscaleRequest]
Context: TypeAlias = "grpc.aio.ServicerContext[pb.UpscaleRequest, pb.UpscaleResponse]"


@dataclass(frozen=True, slots=True)
class SwitchModel:
    """The client's wish to go on with another model."""

    model: str


@dataclass(frozen=True, slots=True)
class Received:
    """A frame or packet that came in, and how large it was."""

    arrival: Arrival
    payload_bytes: int
    pixels: int
    """Of the stream's pictures from here on, as far as is known."""


async def read_config(requests: Requests, limits: Limits) -> StreamConfig:
    """Read the first request.

    Raises:
        ProtocolError: it is no config; what `stream_config` raises.
    """
    request = await anext(requests, None)
    if request is None:
        raise ProtocolError("a stream's first request is its config; this stream has none")
    kind = request.WhichOneof("payload")
    if kind != "config":
        raise ProtocolError(f"a stream's first request is its config, not a {kind or 'request without payload'}")
    if request.freed_output_slots:
        raise ProtocolError("a config must not free output slots: all are free at the start")
    return stream_config(request.config, limits)


class RequestReader:
    """Reads the requests after the config; remembers the format that was given last."""

    def __init__(self, params: StreamParams, limits: Limits, memory: InlineMemory) -> None:
        config = params.config
        self._limits, self._scale, self._memory = limits, params.scale, memory
        self._format, self._pixels = config.format, config.format.pixels
        self._is_raw = config.stages.decoder is None
        self._time_base = config.time_base
        self._clock = params.frame_clock()

    def read(self, request: pb.UpscaleRequest) -> Received | SwitchModel:
        """Read one request, and take back the slots that it frees.

        Raises:
            ProtocolError: it is not what comes here; FrameError, LimitError: its frame does not fit its format.
        """
        now_s = time.perf_counter()
        self._memory.free(request.freed_output_slots)
        kind = request.WhichOneof("payload")
        if kind == "switch_model":
            return SwitchModel(request.switch_model.model)
        if kind == "frame":
            if request.frame.HasField("format"):
                self._format = convert.format_value(request.frame.format)
                self._limits.check(self._format.width, self._format.height, self._scale)
                self._pixels = self._format.pixels
            if not self._is_raw:
                raise ProtocolError("the config announced packets, but a raw frame came")
            frame, size = convert.frame_value(request.frame, self._format, self._time_base, self._memory)
            arrival = Arrival(frame, request.frame.sequence, now_s, self._clock.due_s(now_s))
            return Received(arrival, size, self._pixels)
        if kind == "packet":
            packet = convert.packet_value(request.packet)
            arrival = Arrival(packet, request.packet.sequence, now_s, self._clock.due_s(now_s))
            return Received(arrival, len(packet.data), self._pixels)
        other = "a second config" if kind == "config" else "a request without payload"
        raise ProtocolError(f"after the config come frames or packets, not {other}; open a new stream instead")


class ResponseWriter:
    """Writes responses; gives a frame's format where it differs from the one before."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._format: VideoFormat | None = None

    async def negotiated(self, stream_id: str, params: StreamParams, first: ServedModel, memory: InlineMemory) -> None:
        """Write what the stream will be; `first` is the model of its first frame."""
        message = convert.negotiated_message(stream_id, params, first, memory)
        await self._context.write(pb.UpscaleResponse(negotiated=message))

    async def results(self, results: list[Result]) -> int:
        """Write one result, or several frames; return how many bytes of payload that were."""
        response, first = pb.UpscaleResponse(), results[0]
        size = 0
        if isinstance(first.item, Dropped):
            response.dropped.CopyFrom(convert.dropped_message(first.item, first.sequence))
        elif isinstance(first.item, Frame):
            # In its place already: protobuf copies a message, planes and all, that is put into another.
            size = self._fill(response.frame, first.item, first)
            for result in results[1:]:
                assert isinstance(result.item, Frame)
                size += self._fill(response.more_frames.add(), result.item, result)
        else:
            packet, size = convert.packet_message(first.item, first)
            response = pb.UpscaleResponse(packet=packet)
        await self._context.write(response)
        return size

    async def statistics(self, statistics: StreamStatistics, elapsed_s: float) -> None:
        """Write the last response of a stream that ended well."""
        message = convert.statistics_message(statistics, elapsed_s)
        await self._context.write(pb.UpscaleResponse(statistics=message))

    def _fill(self, message: pb.Frame, frame: Frame, result: Result) -> int:
        size = convert.fill_frame(message, frame, result)
        if (fmt := convert.format_of(frame)) != self._format:
            message.format.CopyFrom(convert.format_message(fmt))
            self._format = fmt
        return size
