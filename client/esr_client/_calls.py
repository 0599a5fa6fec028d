"""What the sync and the asyncio client share: targets, and the calls that are not streams, without their transport."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from grpc_health.v1 import health_pb2

from esr_api.address import Address, parse_address
from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert
from esr_client._config import Options, check_source_quality
from esr_client._kinds import FrameAdapters, FrameT
from esr_client._results import ModelInfo, ServerStatus, ServingState

SERVICES = ("esr_api.v1.UpscalerService",)
"""The services whose health `status` asks for, in addition to the whole server's."""


def server_address(target: str) -> Address:
    """Return the address of a server.

    Raises:
        TypeError: it is no string.
        ValueError: it is none that a client can connect to; the message says what would be right.
    """
    if not isinstance(target, str):
        raise TypeError(f"an address is a string such as '127.0.0.1:50051', not {target!r}")
    address = parse_address(target)
    if not address.path and not address.port:
        raise ValueError(f"a client connects to a port from 1 to 65535, and {target!r} has port 0")
    return address


def options_for(address: Address, options: Options) -> Options:
    """Return the options for a server: shared memory is for those on this host only."""
    return options if address.is_local else replace(options, shared_memory=False)


def image_request(
    frame: FrameT, model: str, source_quality: float | None, kinds: FrameAdapters
) -> tuple[pb.UpscaleImageRequest, Callable[[pb.UpscaleImageResponse], FrameT]]:
    """Return the request for one picture, and what makes the same kind of frame of its response."""
    check_source_quality(source_quality)
    kind = kinds.kind_of(frame)
    value = kind.to_frame(frame)
    fmt = _convert.format_of(value)
    quality = _convert.source_quality_to(source_quality)
    request = pb.UpscaleImageRequest(model=model, format=_convert.format_to(fmt), source_quality=quality)
    _convert.fill_frame(request.frame, value, stream_format=fmt)

    def answer(response: pb.UpscaleImageResponse) -> FrameT:
        upscaled_format = _convert.format_from(response.format)
        upscaled: FrameT = kind.from_frame(_convert.frame_from(response.frame, upscaled_format, value.time_base))
        return upscaled

    return request, answer


def models_from(response: pb.ListModelsResponse) -> tuple[ModelInfo, ...]:
    return tuple(model_from(row) for row in response.models)


def model_from(message: pb.ModelInfo) -> ModelInfo:
    return _convert.model_from(message)


def admin_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata of an administrator's calls; none without a token.

    Raises:
        ValueError: the token is empty, or cannot be sent. The message does not repeat it, as gRPC's own would.
    """
    if token is None:
        return ()
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError("an admin token is one or more printable ASCII characters")
    return (("authorization", f"Bearer {token}"),)


def state_from(response: health_pb2.HealthCheckResponse) -> ServingState:
    """Return the state of one service; names that this package does not know count as UNKNOWN."""
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    return ServingState.__members__.get(name, ServingState.UNKNOWN)


def status_from(states: Iterable[ServingState]) -> ServerStatus:
    """Return the health of a server: first its own state, then those of SERVICES."""
    overall, *services = states
    return ServerStatus(overall=overall, services=dict(zip(SERVICES, services, strict=True)))
