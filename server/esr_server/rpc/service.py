"""The servicer: admits calls, serves them, and turns what ends them into a status."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

import grpc.aio

from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceServicer
from esr_server.errors import RefusedError, clear_frames
from esr_server.models.served import ServedModel
from esr_server.rpc import convert
from esr_server.rpc.admin import check_administrator
from esr_server.rpc.config import source_quantizer_of
from esr_server.rpc.errors import details_of, status_of
from esr_server.rpc.upscale import MOST_LOGGED, Services, UpscaleHandler
from esr_server.rpc.wire import Context, Requests
from esr_server.scheduling.scheduler import Admission
from esr_server.streaming.delivery import open_gate
from esr_server.streaming.items import Arrival, Result
from esr_server.streaming.shared_memory import InlineMemory
from esr_server.streaming.stages import StagesConfig, StreamStages
from esr_server.telemetry.logs import bind
from esr_server.telemetry.metrics import Metrics
from esr_upscale.frame import Frame

_log = logging.getLogger(__name__)
NAME = "esr_api.v1.UpscalerService"
_IMAGE_TIME_BASE = Fraction(1, 90000)


class UpscalerService(UpscalerServiceServicer):
    """`esr_api.v1.UpscalerService`; see the .proto for what each call promises."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def Upscale(self, request_iterator: Requests, context: Context) -> None:  # type: ignore[override]
        async with _status(context), self._admitted(context) as admission:
            await UpscaleHandler(self._services, aiter(request_iterator), context, admission).run()

    async def UpscaleImage(
        self, request: pb.UpscaleImageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.UpscaleImageResponse:
        async with _status(context):
            self._services.scheduler.check_started()
            bind(model=request.model[:MOST_LOGGED])
            model = await self._services.scheduler.load(lambda: self._services.models.get(request.model))
            return await self._services.scheduler.run(lambda: self._image(request, model))

    async def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListModelsResponse:
        async with _status(context):
            entries = await self._services.scheduler.run(self._services.models.entries)
            return pb.ListModelsResponse(models=[convert.model_message(entry) for entry in entries])

    async def LoadModel(
        self, request: pb.LoadModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.LoadModelResponse:
        """Load a model, for an administrator."""
        async with _status(context):
            check_administrator(self._services.settings.admin_token, context)
            self._services.scheduler.check_started()
            models = self._services.models
            entry = await self._services.scheduler.load(lambda: models.load(request.model))
            return pb.LoadModelResponse(model=convert.model_message(entry))

    async def UnloadModel(
        self, request: pb.UnloadModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.UnloadModelResponse:
        """Forget a model, for an administrator."""
        async with _status(context):
            check_administrator(self._services.settings.admin_token, context)
            self._services.scheduler.check_started()
            entry = await self._services.scheduler.load(lambda: self._services.models.unload(request.model))
            self._services.capacity.withdraw(entry.name)
            return pb.UnloadModelResponse(model=convert.model_message(entry))

    def _image(self, request: pb.UpscaleImageRequest, model: ServedModel) -> pb.UpscaleImageResponse:
        limits = self._services.settings.limits
        limits.check(request.format.width, request.format.height, model.scale)
        frame, _ = convert.frame_value(
            request.frame, convert.format_value(request.format), _IMAGE_TIME_BASE, InlineMemory()
        )
        stages = StreamStages(StagesConfig(source_quantizer=source_quantizer_of(request)), lambda: model, limits)
        (result,) = stages.push(Arrival(frame, 0, time.perf_counter()), open_gate)
        assert isinstance(result, Result)
        assert isinstance(result.item, Frame)
        response = pb.UpscaleImageResponse(
            model=model.name,
            backend=model.backend,
            format=convert.format_message(convert.format_of(result.item)),
        )
        convert.fill_frame(response.frame, result.item, replace(result, sequence=request.frame.sequence))
        return response

    @asynccontextmanager
    async def _admitted(self, context: Context) -> AsyncIterator[Admission]:
        """Hold a place in the scheduler and count how the stream ended."""
        metrics = self._services.metrics
        try:
            with self._services.scheduler.admit() as admission:
                async with _outcome(metrics):
                    yield admission
        except RefusedError as error:
            words = re.findall("[A-Z][a-z]+", type(error).__name__.removesuffix("Error"))
            metrics.stream_refused("_".join(words).lower())
            _log.info("stream refused: %s", error)
            raise


@asynccontextmanager
async def _outcome(metrics: Metrics) -> AsyncIterator[None]:
    metrics.stream_started()
    outcome = "failed"
    try:
        yield
        outcome = "finished"
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        metrics.stream_ended(outcome)


@asynccontextmanager
async def _status(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """End the call with the status that belongs to what was raised. A cancelled call has its status already."""
    bind(peer=unquote(context.peer()))
    try:
        yield
        return
    except grpc.aio.AbortError:
        raise
    except Exception as error:
        code, message = status_of(error)
        # What the stream had in hand goes now, not when the collector comes by.
        clear_frames(error)
    await context.abort(code, message, details_of(code, message))
