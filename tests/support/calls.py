"""The contract, spoken by hand: what a client in any language would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import numpy as np

from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceStub
from esr_server.app import Server
from esr_upscale.frame import pixel_format
from tests.support.frames import noise_planes
from tests.support.server import target

OPTIONS = [("grpc.max_receive_message_length", 1 << 28), ("grpc.max_send_message_length", 1 << 28)]


class Stub:
    """An asyncio stub that knows its server's address."""

    def __init__(self, address: str, stub: Any) -> None:
        self.address = address
        self._stub = stub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)


@asynccontextmanager
async def stub_of(server: Server) -> AsyncIterator[Stub]:
    """A stub on a channel to a running server."""
    async with grpc.aio.insecure_channel(target(server), options=OPTIONS) as channel:
        yield Stub(target(server), UpscalerServiceStub(channel))


def raw_config(width: int = 16, height: int = 12, *, pixel_format: str = "yuv420p", model: str = "bicubic_x2",
               **more: Any) -> pb.UpscaleRequest:  # fmt: skip
    """A config for raw frames in and out."""
    fmt = pb.VideoFormat(width=width, height=height, pixel_format=pixel_format)
    raw = pb.RawInput(format=fmt, time_base=pb.Rational(num=1, den=25))
    return pb.UpscaleRequest(config=pb.UpscaleConfig(model=model, raw_input=raw, **more))


def raw_frame(
    sequence: int, width: int = 16, height: int = 12, *, name: str = "yuv420p", **more: Any
) -> pb.UpscaleRequest:
    """A frame of noise, seeded by its number; `more` are other fields of the message."""
    planes = noise_planes(pixel_format(name), width, height, seed=sequence)
    messages = [pb.Plane(data=plane.tobytes(), stride=plane.shape[1] * plane.itemsize) for plane in planes]
    values = {"pts": 2 * sequence + 1, "planes": messages, **more}
    return pb.UpscaleRequest(frame=pb.Frame(sequence=sequence, **values))


@dataclass
class Outcome:
    """What came of a stream."""

    negotiated: pb.Negotiated | None = None
    frames: list[pb.Frame] = field(default_factory=list)
    packets: list[pb.Packet] = field(default_factory=list)
    statistics: pb.StreamStatistics | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""


async def upscale(stub: Stub, requests: Iterable[pb.UpscaleRequest], **call: Any) -> Outcome:
    """Send all requests, then half-close; collect everything that comes back, and how it ended.

    It goes through the sync client, on a thread: where a server ends a call that is still being written to, grpc.aio
    puts a status of its own in the place of the server's (grpc/grpc#36066).
    """
    return await asyncio.to_thread(_upscale, stub.address, tuple(requests), call)


def _upscale(address: str, requests: tuple[pb.UpscaleRequest, ...], call: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        stub: Any = UpscalerServiceStub(channel)
        try:
            for response in stub.Upscale(iter(requests), **call):
                collect(outcome, response)
        except grpc.RpcError as error:
            status: Any = error
            outcome.code, outcome.details = status.code(), status.details() or ""
    return outcome


async def rest(call: Any) -> Outcome:
    """Read what is left of a call that was begun with `write` and `read`."""
    outcome = Outcome()
    while (response := await call.read()) is not grpc.aio.EOF:
        collect(outcome, response)
    return outcome


def collect(outcome: Outcome, response: pb.UpscaleResponse) -> None:
    """File one response."""
    kind = response.WhichOneof("payload")
    value = getattr(response, str(kind))
    if kind in ("frame", "packet"):
        getattr(outcome, f"{kind}s").append(value)
    else:
        setattr(outcome, str(kind), value)


def plane_values(plane: pb.Plane, rows: int, dtype: Any = np.uint8) -> Any:
    """A plane message as an array."""
    return np.frombuffer(plane.data, dtype).reshape(rows, -1)
