"""The calls that are not streams, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from grpc_health.v1 import health_pb2

from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert
from esr_client._config import check_source_quality
from esr_client._frame_types import FrameAdapters, FrameT
from esr_client._results import ServerStatus, ServingState

SERVICES = ("esr_api.v1.UpscalerService",)
"""The services whose health `status` asks for, in addition to the whole server's."""


def image_request(
    frame: FrameT, model: str, source_quality: float | None, adapters: FrameAdapters
) -> tuple[pb.UpscaleImageRequest, Callable[[pb.UpscaleImageResponse], FrameT]]:
    """Return the request for one picture, and a function that turns the response into the same type of frame."""
    check_source_quality(source_quality)
    adapter = adapters.adapter_for(frame)
    value = adapter.to_frame(frame)
    fmt = _convert.format_of(value)
    quality = _convert.source_quality_to(source_quality)
    request = pb.UpscaleImageRequest(model=model, format=_convert.format_to(fmt), source_quality=quality)
    _convert.fill_frame(request.frame, value, stream_format=fmt)

    def answer(response: pb.UpscaleImageResponse) -> FrameT:
        upscaled_format = _convert.format_from(response.format)
        upscaled: FrameT = adapter.from_frame(_convert.frame_from(response.frame, upscaled_format, value.time_base))
        return upscaled

    return request, answer


def state_from(response: health_pb2.HealthCheckResponse) -> ServingState:
    """Return the state of one service; names that this package does not know count as UNKNOWN."""
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    return ServingState.__members__.get(name, ServingState.UNKNOWN)


def status_from(states: Iterable[ServingState]) -> ServerStatus:
    """Return the health of a server: first its own state, then those of SERVICES."""
    overall, *services = states
    return ServerStatus(overall=overall, services=dict(zip(SERVICES, services, strict=True)))
