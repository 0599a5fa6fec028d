"""One Upscale call: config in, echo out, then a reader and a writer that do not wait for each other."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import grpc.aio

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import Limits, ServerSettings
from esr_server.errors import ProtocolError, SharedMemoryError
from esr_server.metrics import Metrics
from esr_server.models import ModelPool
from esr_server.rpc import convert
from esr_server.scheduler import Scheduler, Stream
from esr_server.session import Arrival, Result, Session
from esr_server.shared_memory import StreamMemory, map_offer
from esr_upscale.engine import LoadedModel
from esr_upscale.frame import Frame, pixel_format

Requests: TypeAlias = AsyncIterator[pb.UpscaleRequest]
Context: TypeAlias = "grpc.aio.ServicerContext[pb.UpscaleRequest, pb.UpscaleResponse]"


@dataclass(frozen=True, slots=True)
class House:
    """What every call needs; the composition root makes it once."""

    settings: ServerSettings
    models: ModelPool
    scheduler: Scheduler
    metrics: Metrics


class UpscaleCall:
    """The life of one stream, from its config to its statistics."""

    def __init__(self, house: House, requests: Requests, context: Context) -> None:
        self._house = house
        self._requests = requests
        self._context = context
        self._started_s = time.perf_counter()

    async def run(self) -> None:
        """Serve the stream to its end.

        Raises:
            Exception: whatever ended it early; `rpc.errors` knows the status.
        """
        config = await self._config()
        model = await self._house.scheduler.run(lambda: self._house.models.get(config.model))
        self._check(config, model)
        limits = self._house.settings.limits
        session_config = convert.session_config(config, limits)
        with await self._memory(config) as memory:
            session = await self._house.scheduler.run(
                lambda: Session(session_config, model.upscaler, limits, memory.place)
            )
            await self._write(negotiated=_echo(config, model, memory))
            await self._serve(session, _Inputs(config, limits, model.spec.scale, memory), model)

    async def _config(self) -> pb.UpscaleConfig:
        timeout_s = self._house.settings.config_timeout_s
        try:
            request = await asyncio.wait_for(anext(self._requests, None), timeout_s)
        except TimeoutError:
            raise ProtocolError(f"a stream's first request is its config; none came in {timeout_s:g} s") from None
        if request is None:
            raise ProtocolError("a stream's first request is its config; this stream has no request at all")
        kind = request.WhichOneof("payload")
        if kind != "config":
            raise ProtocolError(f"a stream's first request is its config, not a {kind or 'request without payload'}")
        if request.freed_output_slots:
            raise ProtocolError("a config frees slots of output, and all are free at the start")
        return request.config

    def _check(self, config: pb.UpscaleConfig, model: LoadedModel) -> None:
        """Check a raw stream's format now, and an encoded one's if the container has said it."""
        fmt = convert.input_format(config)
        raw = config.WhichOneof("input") == "raw_input"
        if raw or fmt.pixel_format:
            pixel_format(fmt.pixel_format)
        if raw or fmt.width or fmt.height:
            self._house.settings.limits.check(fmt.width, fmt.height, model.spec.scale)

    async def _memory(self, config: pb.UpscaleConfig) -> StreamMemory:
        """The stream's shared memory; none, with the reason, where the client's offer is not taken."""
        if not config.HasField("shared_memory"):
            return StreamMemory()
        settings = self._house.settings
        if not settings.shared_memory:
            return StreamMemory("shared memory is switched off on this server")
        offer = convert.memory_offer(config.shared_memory)
        try:
            return await self._house.scheduler.run(lambda: map_offer(offer, settings.limits.max_shared_bytes))
        except SharedMemoryError as error:
            return StreamMemory(str(error))

    async def _serve(self, session: Session, inputs: _Inputs, model: LoadedModel) -> None:
        name = model.spec.canonical_id
        outputs = _Outputs()
        with self._house.scheduler.stream(session) as stream:
            stream.start(lambda: self._read(stream, inputs))
            try:
                async for result in stream.results():
                    await self._send(outputs, result, name)
            finally:
                await stream.close()
                self._house.metrics.frames_lost(name, session.account.frames_in - outputs.sent)
        elapsed_s = time.perf_counter() - self._started_s
        await self._write(statistics=convert.statistics_message(session.account, elapsed_s))

    async def _read(self, stream: Stream, inputs: _Inputs) -> None:
        async for request in self._requests:
            arrival, size = inputs.arrival(request)
            self._house.metrics.received(size)
            await stream.put(arrival)

    async def _send(self, outputs: _Outputs, result: Result, model: str) -> None:
        response, size = outputs.response(result)
        before_s = time.perf_counter()
        await self._context.write(response)
        after_s = time.perf_counter()
        outputs.sent += 1
        self._house.metrics.sent(size)
        self._house.metrics.frame_sent(model, result.stages, after_s - before_s, after_s - result.arrived_s)

    async def _write(
        self, negotiated: pb.Negotiated | None = None, statistics: pb.StreamStatistics | None = None
    ) -> None:
        await self._context.write(pb.UpscaleResponse(negotiated=negotiated, statistics=statistics))


class _Inputs:
    """Reads requests after the config; remembers the format last said."""

    def __init__(self, config: pb.UpscaleConfig, limits: Limits, scale: int, memory: StreamMemory) -> None:
        self._limits = limits
        self._memory = memory
        self._scale = scale
        self._format = convert.input_format(config)
        self._time_base: Fraction = convert.time_base_of(config)

    def arrival(self, request: pb.UpscaleRequest) -> tuple[Arrival, int]:
        """One request as an item for the session, and its payload bytes."""
        now_s = time.perf_counter()
        self._memory.free(request.freed_output_slots)
        kind = request.WhichOneof("payload")
        if kind == "frame":
            if request.frame.HasField("format"):
                self._format = request.frame.format
                self._limits.check(self._format.width, self._format.height, self._scale)
            frame, size = convert.frame_value(request.frame, self._format, self._time_base, self._memory)
            return Arrival(frame, request.frame.sequence, now_s), size
        if kind == "packet":
            packet = convert.packet_value(request.packet)
            return Arrival(packet, request.packet.sequence, now_s), len(packet.data)
        said = "a second config" if kind == "config" else "a request without payload"
        raise ProtocolError(f"after the config come frames or packets, not {said}; open a new stream instead")


class _Outputs:
    """Makes responses; says a frame's format where it differs from the last one said."""

    def __init__(self) -> None:
        self._said: pb.VideoFormat | None = None
        self.sent = 0

    def response(self, result: Result) -> tuple[pb.UpscaleResponse, int]:
        """One result as a response, and its payload bytes."""
        if not isinstance(result.item, Frame):
            packet, size = convert.packet_message(result.item, result.sequence, result.stages)
            return pb.UpscaleResponse(packet=packet), size
        response = pb.UpscaleResponse()
        size = convert.fill_frame(response.frame, result.item, result.sequence, result.stages, result.placement)
        fmt = convert.format_message(result.item)
        if fmt != self._said:
            response.frame.format.CopyFrom(fmt)
            self._said = fmt
        return response, size


def _echo(config: pb.UpscaleConfig, model: LoadedModel, memory: StreamMemory) -> pb.Negotiated:
    return pb.Negotiated(
        stream_id=secrets.token_hex(8),
        model=model.spec.canonical_id,
        engine=model.engine,
        scale=model.spec.scale,
        output_format=convert.output_format(convert.input_format(config), model.spec.scale),
        time_base=convert.ratio_message(convert.time_base_of(config)),
        shared_memory=memory.shared,
        shared_memory_refusal=memory.refusal,
    )
