"""One Upscale call: config in, negotiated stream out, then a reader and a writer that do not wait for each other."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import unquote

import grpc.aio

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.capacity import Capacity, Reservation
from esr_server.config import ServerSettings
from esr_server.delivery import Dropped
from esr_server.errors import ConfigError, ProtocolError, SharedMemoryError
from esr_server.metrics import Metrics
from esr_server.models import ModelPool, ServedModel
from esr_server.realtime import RateTracker
from esr_server.rpc import convert
from esr_server.rpc.negotiation import StreamParams, negotiate, reserve
from esr_server.rpc.translate import Inputs, Outputs
from esr_server.scheduler import Scheduler
from esr_server.session import Result, Session
from esr_server.shared_memory import InlineMemory, map_offer
from esr_server.stream import Stream
from esr_upscale.frame import PIXEL_FORMATS

_log = logging.getLogger(__name__)
_MAX_BATCH_DELAY_S = 0.005  # that a result may wait for those behind it, to share a message with them

Requests: TypeAlias = AsyncIterator[pb.UpscaleRequest]
Context: TypeAlias = "grpc.aio.ServicerContext[pb.UpscaleRequest, pb.UpscaleResponse]"


@dataclass(frozen=True, slots=True)
class Services:
    """Objects that every call uses; the composition root makes them once."""

    settings: ServerSettings
    models: ModelPool
    scheduler: Scheduler
    capacity: Capacity[ServedModel]
    metrics: Metrics


class UpscaleCall:
    """The life of one stream, from its config to its statistics."""

    def __init__(self, services: Services, requests: Requests, context: Context) -> None:
        self._services = services
        self._requests = requests
        self._context = context
        self._started_s = time.perf_counter()
        self._stream_id = secrets.token_hex(8)

    async def run(self) -> None:
        """Serve the stream to its end.

        Raises:
            Exception: whatever ended it early; `rpc.errors` knows the status.
        """
        services = self._services
        config = await self._config()
        models = await services.scheduler.load(lambda: services.models.choose(config.model, config.ladder))
        params = negotiate(config, models, services.settings.limits)
        await self._warm_up(params)
        with reserve(services.capacity, params) as reservation, await self._memory(config) as memory:
            session = await services.scheduler.run(
                lambda: Session(
                    params.session,
                    lambda: reservation.rung,
                    services.settings.limits,
                    memory.output,
                    lambda: services.scheduler.concurrency,
                )
            )
            with self._logged(params, reservation, session), services.metrics.track_rate(params.fps) as rate_tracker:
                await self._context.write(
                    pb.UpscaleResponse(negotiated=params.negotiated(self._stream_id, reservation, memory))
                )
                parts = _Parts(params, reservation, memory, session, rate_tracker)
                await _Conversation(services, parts, self._context).run(self._requests)
        elapsed_s = time.perf_counter() - self._started_s
        statistics = convert.statistics_message(session.statistics, elapsed_s)
        await self._context.write(pb.UpscaleResponse(statistics=statistics))

    @contextmanager
    def _logged(self, params: StreamParams, reservation: Reservation[ServedModel], session: Session) -> Iterator[None]:
        """Log the stream's start, and its end with what came of it."""
        extra = {"stream_id": self._stream_id}
        peer, model = unquote(self._context.peer()), reservation.rung.name
        _log.info("stream %s of %s starts: %s, %s", self._stream_id, peer, model, params, extra=extra)
        outcome = "finished"
        try:
            yield
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            outcome = f"failed ({error})"
            raise
        finally:
            done, elapsed_s = session.statistics, time.perf_counter() - self._started_s
            _log.info(
                "stream %s %s: %d frames in, %d out, %d dropped, %d changes of model, %.2f s",
                *(self._stream_id, outcome, done.frames_in, done.frames_out, done.frames_dropped),
                *(done.model_switches, elapsed_s),
                extra=extra,
            )

    async def _config(self) -> pb.UpscaleConfig:
        timeout_s = self._services.settings.config_timeout_s
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

    async def _warm_up(self, params: StreamParams) -> None:
        """Have the kernels of an announced format compiled now: they would hold up the first frame, and a worker."""
        name = params.format.pixel_format
        cold = [served.model for served in params.models if name in PIXEL_FORMATS and not served.model.is_warm(name)]

        def warm_up() -> None:
            for model in cold:
                model.warm_up(name)

        if cold:
            await self._services.scheduler.load(warm_up)

    async def _memory(self, config: pb.UpscaleConfig) -> InlineMemory:
        """The stream's shared memory; none, with the reason, where the client's offer is not taken."""
        if not config.HasField("shared_memory"):
            return InlineMemory()
        settings = self._services.settings
        if not settings.shared_memory:
            return InlineMemory("shared memory is switched off on this server")
        offer = convert.memory_offer(config.shared_memory)
        try:
            return await self._services.scheduler.run(lambda: map_offer(offer, settings.limits.max_shared_bytes))
        except SharedMemoryError as error:
            return InlineMemory(str(error))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What one stream has for itself."""

    params: StreamParams
    reservation: Reservation[ServedModel]
    memory: InlineMemory
    session: Session
    rate_tracker: RateTracker


class _Conversation:
    """The middle of a call, after the config and before the statistics: requests to arrivals, results to responses."""

    def __init__(self, services: Services, parts: _Parts, context: Context) -> None:
        self._services = services
        self._params, self._reservation, self._memory = parts.params, parts.reservation, parts.memory
        self._session, self._rate_tracker = parts.session, parts.rate_tracker
        self._context = context
        self._frame_clock = parts.params.frame_clock()
        self._inputs = Inputs(parts.params, services.settings.limits, parts.memory)
        self._outputs = Outputs()

    async def run(self, requests: Requests) -> None:
        """Read and write until both sides have ended."""
        params, statistics, outputs = self._params, self._session.statistics, self._outputs
        with self._services.scheduler.stream(self._session, params.delivery, evicts=params.evicts) as stream:
            stream.start(lambda: self._read(stream, requests))
            try:
                async for results in stream.results(self._together):
                    await self._send(results)
            finally:
                await stream.close()
                lost = statistics.frames_in - outputs.sent - outputs.dropped
                self._services.metrics.frames_lost(self._reservation.rung.name, lost)

    async def _read(self, stream: Stream, requests: Requests) -> None:
        async for request in requests:
            if request.WhichOneof("payload") == "switch_model":
                self._memory.free(request.freed_output_slots)
                await self._switch(stream, request.switch_model.model)
                continue
            arrival, size = self._inputs.arrival(request)
            self._services.metrics.received(size)
            if self._inputs.resized:
                await self._resize(stream)
            await stream.put(arrival)

    async def _switch(self, stream: Stream, name: str) -> None:
        """Load what the client wants to go on with, and have it taken between two frames."""
        services = self._services
        model = await services.scheduler.load(lambda: services.models.get(name))
        if model.scale != self._params.scale:
            raise ConfigError(
                f"{model.name} is of ×{model.scale}; this stream is of ×{self._params.scale}, which does not change"
            )
        await stream.order(
            lambda: services.capacity.change(self._reservation, replace(self._reservation.demand, rungs=(model,)))
        )

    async def _resize(self, stream: Stream) -> None:
        pixels = self._inputs.pixels
        capacity, reservation = self._services.capacity, self._reservation
        await stream.order(lambda: capacity.change(reservation, replace(reservation.demand, pixels=pixels)))

    def _together(self) -> int:
        """Return how many results may go in one response now: as many as are made in _MAX_BATCH_DELAY_S."""
        most = self._params.frames_per_response
        return (
            min(most, int(_MAX_BATCH_DELAY_S / self._reservation.rung.cost.of(self._inputs.pixels))) if most > 1 else 1
        )

    async def _send(self, results: list[Result]) -> None:
        response, size = self._outputs.response(results)
        before_s = time.perf_counter()
        await self._context.write(response)
        after_s = time.perf_counter()
        self._services.metrics.sent(size)
        for result in results:
            self._note_sent(result, before_s, after_s)

    def _note_sent(self, result: Result, before_s: float, after_s: float) -> None:
        if isinstance(result.item, Dropped):
            if result.placement:  # it was upscaled, and overtaken before it could be sent
                self._memory.free([result.placement.slot])
            self._services.metrics.frame_dropped(self._reservation.rung.name, result.item.reason)
        else:
            latency_s = after_s - result.arrived_s
            metrics = self._services.metrics
            metrics.frame_sent(result.model, result.stages, after_s - before_s, latency_s, result.source)
            self._note_model(result.model)
        if self._params.fps:
            self._note_time(result, after_s)

    def _note_model(self, model: str) -> None:
        before, self._outputs.model = self._outputs.model, model
        if before and before != model:
            self._services.metrics.model_switched(before, model)

    def _note_time(self, result: Result, sent_s: float) -> None:
        """Tell who plans the machine's time, and who counts, whether the frame was there when it was due."""
        dropped = isinstance(result.item, Dropped)
        late = dropped or sent_s > result.due_s
        if not self._frame_clock.exceeds(result.arrived_s, result.due_s):
            self._services.capacity.delivered(late=late)
        if not dropped:
            self._rate_tracker.delivered(result.model, late=late)
