"""The calls that are not streams, without any I/O: what each sends, and what its response means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from grpc_health.v1 import health_pb2

from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert, _convert_stream
from esr_client._config import check_source_quality
from esr_client._frame_types import FrameAdapters, FrameT
from esr_client._results import ModelInfo, ServerStatus, ServingState

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ResultT = TypeVar("ResultT")

SERVICES = ("esr_api.v1.UpscalerService",)
"""The services whose health `status` asks for, in addition to the whole server's."""


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[RequestT, ResponseT, ResultT]):
    """A call of one request, with the function that reads its response."""

    request: RequestT
    read: Callable[[ResponseT], ResultT]


def image_call(
    frame: FrameT, model: str, source_quality: float | None, adapters: FrameAdapters
) -> UnaryCall[pb.UpscaleImageRequest, pb.UpscaleImageResponse, FrameT]:
    """Return the call that upscales one picture, whose result is the same type of frame.

    Raises:
        ValueError: source_quality is no quantiser.
        FrameError: the frame cannot be sent.
    """
    check_source_quality(source_quality)
    adapter = adapters.adapter_for(frame)
    value = adapter.to_frame(frame)
    fmt = _convert.format_of(value)
    quality = _convert_stream.source_quality_to(source_quality)
    request = pb.UpscaleImageRequest(model=model, format=_convert.format_to(fmt), source_quality=quality)
    _convert.fill_frame(request.frame, value, stream_format=fmt)

    def read(response: pb.UpscaleImageResponse) -> FrameT:
        upscaled_format = _convert.format_from(response.format)
        upscaled: FrameT = adapter.from_frame(_convert.frame_from(response.frame, upscaled_format, value.time_base))
        return upscaled

    return UnaryCall(request, read)


def models_call() -> UnaryCall[pb.ListModelsRequest, pb.ListModelsResponse, tuple[ModelInfo, ...]]:
    return UnaryCall(pb.ListModelsRequest(), lambda response: tuple(map(_convert_stream.model_from, response.models)))


def load_call(model: str) -> UnaryCall[pb.LoadModelRequest, pb.LoadModelResponse, ModelInfo]:
    return UnaryCall(pb.LoadModelRequest(model=model), lambda response: _convert_stream.model_from(response.model))


def unload_call(model: str) -> UnaryCall[pb.UnloadModelRequest, pb.UnloadModelResponse, ModelInfo]:
    return UnaryCall(pb.UnloadModelRequest(model=model), lambda response: _convert_stream.model_from(response.model))


def health_call(
    service: str,
) -> UnaryCall[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse, ServingState]:
    return UnaryCall(health_pb2.HealthCheckRequest(service=service), _state_from)


def _state_from(response: health_pb2.HealthCheckResponse) -> ServingState:
    """Return the state of one service; names that this package does not know count as UNKNOWN."""
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    return ServingState.__members__.get(name, ServingState.UNKNOWN)


def status_from(states: Iterable[ServingState]) -> ServerStatus:
    """Return the health of a server: first its own state, then those of SERVICES."""
    overall, *services = states
    return ServerStatus(overall=overall, services=dict(zip(SERVICES, services, strict=True)))
