"""One Upscale call: config in, negotiated stream out, then requests in and results out until both sides have ended."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from esr_media.formats import PIXEL_FORMATS
from esr_server.codecs.codec import Codecs
from esr_server.config import ServerSettings
from esr_server.errors import ConfigError, ProtocolError, SharedMemoryError
from esr_server.models.pool import ModelPool
from esr_server.models.served import ServedModel
from esr_server.rpc.negotiation import StreamConfig, StreamParams, negotiate
from esr_server.rpc.wire import Context, RequestReader, Requests, ResponseWriter, SwitchModel, read_config
from esr_server.scheduling.capacity import Capacity, Reservation
from esr_server.scheduling.scheduler import Admission, Scheduler
from esr_server.streaming.delivery import Dropped, FrameClock
from esr_server.streaming.items import Result
from esr_server.streaming.pipeline import StreamPipeline
from esr_server.streaming.shared_memory import InlineMemory, map_offer
from esr_server.streaming.stages import StreamStages
from esr_server.telemetry.logs import bind
from esr_server.telemetry.metrics import Metrics
from esr_server.telemetry.realtime import RateTracker

_log = logging.getLogger(__name__)
MOST_LOGGED = 100
"""Letters of a name, of which it is not known yet whether a model has it."""
MAX_BATCH_DELAY_S = 0.005
"""That a result may wait for those behind it, to share a message with them."""


@dataclass(frozen=True, slots=True)
class Services:
    """Objects that every call uses; the composition root makes them once."""

    settings: ServerSettings
    models: ModelPool
    scheduler: Scheduler
    capacity: Capacity[ServedModel]
    metrics: Metrics
    codecs: Codecs


class UpscaleHandler:
    """Serves one stream, from its config to its statistics."""

    def __init__(self, services: Services, requests: Requests, context: Context, admission: Admission) -> None:
        self._services, self._requests, self._context = services, requests, context
        self._admission = admission
        self._started_s = time.perf_counter()
        self._stream_id = secrets.token_hex(8)
        bind(stream_id=self._stream_id)

    async def run(self) -> None:
        """Serve the stream to its end.

        Raises:
            Exception: whatever ended it early; `rpc.errors` knows the status.
        """
        services, limits = self._services, self._services.settings.limits
        config = await self._config()
        bind(model=config.model[:MOST_LOGGED])
        models = await services.scheduler.load(lambda: services.models.choose(config.model, config.ladder))
        params = negotiate(config, models, limits)
        await self._warm_up(params)
        writer = ResponseWriter(self._context)
        with ExitStack() as to_the_end:
            with services.capacity.reserve(params.demand) as reservation, await self._memory(config) as memory:
                # Opening a codec may take long, and no worker's thread is kept that long.
                stages = await services.scheduler.load(
                    lambda: StreamStages(
                        config.stages,
                        lambda: reservation.rung,
                        limits,
                        memory.output,
                        lambda: services.scheduler.concurrency,
                        services.codecs,
                    )
                )
                pipeline = StreamPipeline(
                    stages,
                    services.scheduler.stream_executor(),
                    services.scheduler.encoders,
                    services.settings.scheduler,
                    config.delivery,
                    evicts=params.evicts,
                )
                to_the_end.enter_context(self._logged(params, reservation.rung.name, pipeline))
                with services.metrics.track_rate(config.fps) as rate_tracker:
                    await writer.negotiated(self._stream_id, params, reservation.rung, memory)
                    await _Exchange(services, params, reservation, memory, pipeline, rate_tracker, writer).run(
                        self._requests, self._admission
                    )
            # gRPC ends the requests of a call that is cancelled: it has finished only if this can be written.
            await writer.statistics(pipeline.statistics, time.perf_counter() - self._started_s)

    async def _config(self) -> StreamConfig:
        settings = self._services.settings
        try:
            async with asyncio.timeout(settings.config_timeout_s):
                return await read_config(self._requests, settings.limits)
        except TimeoutError:
            raise ProtocolError(
                f"a stream's first request is its config; none came in {settings.config_timeout_s:g} s"
            ) from None

    async def _warm_up(self, params: StreamParams) -> None:
        """Have the kernels of an announced format compiled now: they would hold up the first frame, and a worker."""
        name = params.config.format.pixel_format
        cold = [served.model for served in params.models if name in PIXEL_FORMATS and not served.model.is_warm(name)]

        def warm_up() -> None:
            for model in cold:
                model.warm_up(name)

        if cold:
            await self._services.scheduler.load(warm_up)

    async def _memory(self, config: StreamConfig) -> InlineMemory:
        """Map the client's shared memory; where its offer is not taken, say why."""
        offer, settings = config.memory, self._services.settings
        if offer is None:
            return InlineMemory()
        if not settings.shared_memory:
            return InlineMemory("shared memory is switched off on this server")
        try:
            return await self._services.scheduler.run(lambda: map_offer(offer, settings.limits.max_shared_bytes))
        except SharedMemoryError as error:
            return InlineMemory(str(error))

    @contextmanager
    def _logged(self, params: StreamParams, model: str, pipeline: StreamPipeline) -> Iterator[None]:
        """Log the stream's start, and its end with what came of it."""
        bind(model=model)
        _log.info("stream starts: %s", params)
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
            done = pipeline.statistics
            _log.info(
                "stream %s: %d frames in, %d out, %d dropped, %d changes of model, %.2f s",
                *(outcome, done.frames_in, done.frames_out, done.frames_dropped, done.model_switches),
                time.perf_counter() - self._started_s,
            )


@dataclass(slots=True)
class _Exchange:
    """The part of a call between its negotiation and its statistics."""

    services: Services
    params: StreamParams
    reservation: Reservation[ServedModel]
    memory: InlineMemory
    pipeline: StreamPipeline
    rate_tracker: RateTracker
    writer: ResponseWriter
    model: str = ""
    """That made the last frame that was sent."""

    async def run(self, requests: Requests, admission: Admission) -> None:
        """Read and write until both sides have ended."""
        pipeline, params = self.pipeline, self.params
        clock = params.frame_clock()
        admission.on_drain_timeout = pipeline.fail
        pipeline.start(lambda: self._read(requests))
        try:
            async for results in pipeline.results(self._max_batch if params.frames_per_response > 1 else lambda: 1):
                before_s = time.perf_counter()
                size = await self.writer.results(results)
                after_s = time.perf_counter()
                self.services.metrics.bytes_sent(size)
                for result in results:
                    self._record(result, after_s - before_s, after_s, clock)
        finally:
            await pipeline.close()
            self.services.metrics.frames_lost(self.reservation.rung.name, pipeline.statistics.frames_lost)

    async def _read(self, requests: Requests) -> None:
        reader = RequestReader(self.params, self.services.settings.limits, self.memory)
        pixels = self.params.config.format.pixels
        async for request in requests:
            item = reader.read(request)
            if isinstance(item, SwitchModel):
                await self._switch(item.model)
                continue
            self.services.metrics.bytes_received(item.payload_bytes)
            if item.pixels != pixels:
                pixels = item.pixels
                await self.pipeline.call_between(partial(self._resize, pixels))
            await self.pipeline.put(item.arrival)

    def _resize(self, pixels: int) -> None:
        self.services.capacity.change(self.reservation, replace(self.reservation.demand, pixels=pixels))

    async def _switch(self, name: str) -> None:
        """Load what the client wants to go on with, and have it taken between two frames."""
        services, reservation, scale = self.services, self.reservation, self.params.scale
        model = await services.scheduler.load(lambda: services.models.get(name))
        if model.scale != scale:
            raise ConfigError(
                f"{model.name} has scale ×{model.scale}, but this stream has ×{scale}, which cannot change"
            )
        await self.pipeline.call_between(
            lambda: services.capacity.change(reservation, replace(reservation.demand, rungs=(model,)))
        )

    def _max_batch(self) -> int:
        """Return how many results may go in one response now: as many as are made in MAX_BATCH_DELAY_S."""
        reservation = self.reservation
        return min(
            self.params.frames_per_response,
            int(MAX_BATCH_DELAY_S / reservation.rung.cost.of(reservation.demand.pixels)),
        )

    def _record(self, result: Result, send_s: float, sent_s: float, clock: FrameClock) -> None:
        """Tell the metrics, and who plans the machine's time, of a result that was sent."""
        metrics, is_dropped = self.services.metrics, isinstance(result.item, Dropped)
        if isinstance(result.item, Dropped):
            if result.placement:  # it was upscaled, and overtaken before it could be sent
                self.memory.free([result.placement.slot])
            metrics.frame_dropped(self.reservation.rung.name, result.item.reason)
        else:
            metrics.frame_sent(result.model, result.stages, send_s, sent_s - result.arrived_s, result.source)
            if self.model not in ("", result.model):
                metrics.model_switched(self.model, result.model)
                bind(model=result.model)
            self.model = result.model
        if self.params.config.fps:
            late = is_dropped or sent_s > result.due_s
            if not clock.exceeds(result.arrived_s, result.due_s):
                self.services.capacity.delivered(late=late)
            if not is_dropped:
                self.rate_tracker.delivered(result.model, late=late)
