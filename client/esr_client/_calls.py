"""What the sync and the asyncio client share: targets, and the calls that are not streams, without their transport."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import replace

from grpc_health.v1 import health_pb2

from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert
from esr_client._config import Options
from esr_client._kinds import FrameT, kind_of
from esr_client._results import ModelInfo, ServerStatus, ServingState

SERVICES = ("esr_api.v1.UpscalerService",)
"""The services whose health `status` asks for, beside the whole server's."""


def grpc_target(target: str) -> str:
    """The target as gRPC takes it.

    Raises:
        ValueError: it is neither `host:port` nor `unix:PATH`.
    """
    if target.startswith("unix:") and len(target) > len("unix:"):
        return target
    host, colon, port = target.rpartition(":")
    if host and colon and port.isdigit():
        return target
    raise ValueError(f"a server is host:port or unix:PATH, not {target!r}")


def options_for(target: str, options: Options) -> Options:
    """The options for a target: shared memory is for servers on this host only."""
    return options if _is_local(target) else replace(options, shared_memory=False)


def _is_local(target: str) -> bool:
    if target.startswith("unix:"):
        return True
    host = target.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # some other name
        return False


def image_request(
    frame: FrameT, model: str
) -> tuple[pb.UpscaleImageRequest, Callable[[pb.UpscaleImageResponse], FrameT]]:
    """The request for one picture, and what makes the same kind of frame of its response."""
    kind = kind_of(frame)
    value = kind.to_frame(frame)
    fmt = _convert.format_of(value)
    request = pb.UpscaleImageRequest(model=model, format=_convert.format_to(fmt))
    _convert.fill_frame(request.frame, value, said=fmt)

    def answer(response: pb.UpscaleImageResponse) -> FrameT:
        said = _convert.format_from(response.format)
        upscaled: FrameT = kind.from_frame(_convert.frame_from(response.frame, said, value.time_base))
        return upscaled

    return request, answer


def models_from(response: pb.ListModelsResponse) -> tuple[ModelInfo, ...]:
    """The list of models."""
    return tuple(model_from(row) for row in response.models)


def model_from(message: pb.ModelInfo) -> ModelInfo:
    """One model."""
    return _convert.model_from(message)


def admin_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of an administrator's calls; none without a token.

    Raises:
        ValueError: the token is empty, or cannot be sent. The message does not repeat it, as gRPC's own would.
    """
    if token is None:
        return ()
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError("an admin token is one or more printable ASCII characters")
    return (("authorization", f"Bearer {token}"),)


def state_from(response: health_pb2.HealthCheckResponse) -> ServingState:
    """The state of one service; names that this package does not know count as UNKNOWN."""
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    return ServingState.__members__.get(name, ServingState.UNKNOWN)


def status_from(states: Iterable[ServingState]) -> ServerStatus:
    """The health of a server: first its own state, then those of SERVICES."""
    overall, *services = states
    return ServerStatus(overall=overall, services=dict(zip(SERVICES, services, strict=True)))
