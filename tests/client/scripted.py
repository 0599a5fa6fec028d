"""A scripted server: a real gRPC server in this process, with a servicer that follows a script and upscales nothing.

It doubles every sample and row. It stands in for the real server where a test needs one that misbehaves on cue.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceServicer, add_UpscalerServiceServicer_to_server
from esr_client._frame import pixel_format

Tamper = Callable[[pb.UpscaleResponse], list[pb.UpscaleResponse]]
LIMITS = [("grpc.max_receive_message_length", 2**28), ("grpc.max_send_message_length", 2**28)]


class EndedError(Exception):
    """The script ends the call with a status."""

    def __init__(self, status: grpc.StatusCode, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.trailers = () if retry_after_s is None else (("grpc-status-details-bin", details(status, retry_after_s)),)


def details(status: grpc.StatusCode, retry_after_s: float) -> bytes:
    """A google.rpc.Status with a RetryInfo, behind a detail of another kind."""
    message = Status(code=status.value[0])
    info = RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=retry_after_s))
    message.details.add().Pack(ErrorInfo(reason="FULL"))
    message.details.add().Pack(info)
    return bytes(message.SerializeToString())


def _as_is(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    return [response]


@dataclass
class Script:
    """What the server will do in every stream, and what it has seen."""

    end_after: int | None = None
    """End the call instead of answering this frame."""
    status: grpc.StatusCode = grpc.StatusCode.INTERNAL
    silent: bool = False
    """Never answer a frame."""
    tamper: Tamper = _as_is
    """What becomes of each response."""
    drops: Mapping[int, pb.DropReason] = field(default_factory=dict)
    """Frames that are dropped, by number."""
    retry_after_s: float | None = None
    """Refuse every stream, with this in the status."""
    authorizations: dict[str, list[str]] = field(default_factory=dict)
    """What the metadata of each call had for it, by method: empty where there was none."""
    requests: list[pb.UpscaleRequest] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """How each call ended: "whole" or "broken"."""

    @property
    def frames(self) -> int:
        """Frames or packets received."""
        return sum(request.WhichOneof("payload") in ("frame", "packet") for request in self.requests)

    def admit(self, method: str, context: Any) -> None:
        """Note what a call says of its caller."""
        authorization = dict(context.invocation_metadata() or ()).get("authorization", "")
        self.authorizations.setdefault(method, []).append(authorization)

    def administer(self, method: str, context: Any, name: str) -> pb.ModelInfo:
        """What LoadModel and UnloadModel have in common: the model that they name."""
        self.admit(method, context)
        authorization = self.authorizations[method][-1]
        if authorization != f"Bearer {TOKEN}":
            wrong = grpc.StatusCode.PERMISSION_DENIED if authorization else grpc.StatusCode.UNAUTHENTICATED
            raise EndedError(wrong, "this is for an administrator")
        if name == "nonesuch":
            raise EndedError(grpc.StatusCode.NOT_FOUND, "no model is named 'nonesuch'")
        return pb.ModelInfo(model=name, backend="scripted", loaded=method == "LoadModel", seconds_per_frame=0.5)


def in_pairs() -> Tamper:
    """Two frames in each response."""
    waiting: list[pb.UpscaleResponse] = []

    def tamper(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
        if response.WhichOneof("payload") == "frame" and not waiting:
            waiting.append(response)
            return []
        if response.WhichOneof("payload") == "frame":
            first = waiting.pop()
            first.more_frames.append(response.frame)
            return [first]
        return [response]

    return tamper


class Call:
    """One call that follows a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._format = pb.VideoFormat()
        self._in = self._out = self._dropped = self._packets = self._switches = 0
        self._model = ""

    def answer(self, request: pb.UpscaleRequest) -> list[pb.UpscaleResponse]:
        """The responses to one request."""
        self._script.requests.append(request)
        answer = getattr(self, "_" + (request.WhichOneof("payload") or "nothing"))
        return [reply for response in answer(request) for reply in self._script.tamper(response)]

    def end(self) -> list[pb.UpscaleResponse]:
        """The responses after the last request."""
        account = pb.StreamStatistics(
            frames_in=self._in,
            frames_out=self._out,
            frames_dropped=self._dropped,
            packets_in=self._packets,
            model_switches=self._switches,
            elapsed_s=0.5,
        )
        return self._script.tamper(pb.UpscaleResponse(statistics=account))

    def _config(self, request: pb.UpscaleRequest) -> list[pb.UpscaleResponse]:
        config = request.config
        if config.model == "nonesuch":
            raise EndedError(grpc.StatusCode.NOT_FOUND, "no model is named 'nonesuch'; did you mean bicubic_x2?")
        if self._script.retry_after_s is not None:
            raise EndedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", self._script.retry_after_s)
        self._model = config.model or config.ladder[0]
        input_config = config.raw_input if config.HasField("raw_input") else config.encoded_input
        self._format.CopyFrom(input_config.format)
        negotiated = pb.Negotiated(
            stream_id="s1",
            model=self._model,
            backend="scripted",
            scale=2,
            output_format=doubled(input_config.format),
            delivery=config.delivery,
            ladder=config.ladder,
        )
        negotiated.time_base.CopyFrom(input_config.time_base)
        return [pb.UpscaleResponse(negotiated=negotiated)]

    def _frame(self, request: pb.UpscaleRequest) -> list[pb.UpscaleResponse]:
        if self._in == self._script.end_after:
            raise EndedError(self._script.status, f"frame {self._in} failed on purpose")
        self._in += 1
        if self._script.silent:
            return []
        if self._in - 1 in self._script.drops:
            return [self._drop(request.frame)]
        self._out += 1
        if request.frame.HasField("format"):
            self._format.CopyFrom(request.frame.format)
        response = upscaled(request.frame, self._format)
        response.model = self._model
        if request.frame.HasField("format"):
            response.format.CopyFrom(doubled(self._format))
        return [pb.UpscaleResponse(frame=response)]

    def _drop(self, frame: pb.Frame) -> pb.UpscaleResponse:
        self._dropped += 1
        dropped = pb.Dropped(sequence=frame.sequence, reason=self._script.drops[frame.sequence])
        if frame.HasField("pts"):
            dropped.pts = frame.pts
        return pb.UpscaleResponse(dropped=dropped)

    def _switch_model(self, request: pb.UpscaleRequest) -> list[pb.UpscaleResponse]:
        self._switches += 1
        self._model = request.switch_model.model
        return []

    def _packet(self, request: pb.UpscaleRequest) -> list[pb.UpscaleResponse]:
        """Every packet is a "frame" of one gray value: its first byte."""
        packet, fmt = request.packet, self._format
        gray = pb.Plane(data=packet.data[:1] * fmt.width * fmt.height, stride=fmt.width)
        frame = pb.Frame(sequence=self._in, planes=[gray])
        if packet.HasField("pts"):
            frame.pts = packet.pts
        self._packets += 1
        return self._frame(pb.UpscaleRequest(frame=frame))


def doubled(fmt: pb.VideoFormat) -> pb.VideoFormat:
    """The same format, twice as large."""
    twice = pb.VideoFormat()
    twice.CopyFrom(fmt)
    twice.width, twice.height = fmt.width * 2, fmt.height * 2
    return twice


def upscaled(frame: pb.Frame, fmt: pb.VideoFormat) -> pb.Frame:
    """The frame with every sample and row doubled."""
    row = pixel_format(fmt.pixel_format)
    response = pb.Frame()
    response.CopyFrom(frame)
    response.ClearField("planes")
    response.ClearField("format")
    response.stages.luma = 0.25
    for index, plane in enumerate(frame.planes):
        shape = row.plane_shape(index, fmt.width, fmt.height)
        samples = np.frombuffer(plane.data, row.dtype).reshape(*shape[:1], -1, len(row.planes[index].components))
        rows, columns = row.plane_shape(index, fmt.width * 2, fmt.height * 2)
        out = samples.repeat(2, 0).repeat(2, 1).reshape(2 * shape[0], -1)[:rows, :columns]
        response.planes.append(pb.Plane(data=out.tobytes(), stride=columns * row.dtype.itemsize))
    return response


def image(request: pb.UpscaleImageRequest) -> pb.UpscaleImageResponse:
    """UpscaleImage."""
    frame = upscaled(request.frame, request.format)
    return pb.UpscaleImageResponse(model=request.model, backend="scripted", format=doubled(request.format), frame=frame)


TOKEN = "open sesame"
"""The administrator's."""

MODELS = pb.ListModelsResponse(
    models=[
        pb.ModelInfo(model="esr_tr_x2_k5_c2", alias="esr_tr_x2", family="esr_tr", scale=2, psnr_db={"Set5": 35.4}),
        pb.ModelInfo(model="bicubic_x2", alias="bicubic_x2", family="bicubic", scale=2, loaded=True),
    ]
)


class SyncServicer(UpscalerServiceServicer):
    """Follows the script in threads."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def Upscale(self, requests: Iterator[pb.UpscaleRequest], context: Any) -> Iterator[pb.UpscaleResponse]:  # noqa: N802
        """One stream."""
        call, how = Call(self._script), "broken"
        self._script.admit("Upscale", context)
        try:
            for request in requests:
                yield from call.answer(request)
            yield from call.end()
            how = "whole"
        except EndedError as error:
            context.set_trailing_metadata(error.trailers)
            context.abort(error.status, error.message)
        except grpc.RpcError:
            pass  # the client has gone
        finally:
            self._script.ended.append(how)

    def UpscaleImage(self, request: pb.UpscaleImageRequest, context: Any) -> pb.UpscaleImageResponse:  # noqa: N802
        """One picture."""
        self._script.admit("UpscaleImage", context)
        return image(request)

    def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        """Two models."""
        self._script.admit("ListModels", context)
        return MODELS

    def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:  # noqa: N802
        """For an administrator."""
        try:
            return pb.LoadModelResponse(model=self._script.administer("LoadModel", context, request.model))
        except EndedError as error:
            context.abort(error.status, error.message)
            raise

    def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.UnloadModelResponse:  # noqa: N802
        """For an administrator."""
        try:
            return pb.UnloadModelResponse(model=self._script.administer("UnloadModel", context, request.model))
        except EndedError as error:
            context.abort(error.status, error.message)
            raise


class AioServicer(UpscalerServiceServicer):
    """Follows the script on an event loop."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def Upscale(self, requests: AsyncIterator[pb.UpscaleRequest], context: Any) -> None:  # type: ignore[override]  # noqa: N802
        """One stream."""
        call, how = Call(self._script), "broken"
        self._script.admit("Upscale", context)
        try:
            async for request in requests:
                for response in call.answer(request):
                    await context.write(response)
            for response in call.end():
                await context.write(response)
            how = "whole"
        except EndedError as error:
            await context.abort(error.status, error.message, error.trailers)
        finally:
            self._script.ended.append(how)

    async def UpscaleImage(self, request: pb.UpscaleImageRequest, context: Any) -> pb.UpscaleImageResponse:  # noqa: N802
        """One picture."""
        self._script.admit("UpscaleImage", context)
        return image(request)

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        """Two models."""
        self._script.admit("ListModels", context)
        return MODELS

    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:  # noqa: N802
        """For an administrator."""
        try:
            return pb.LoadModelResponse(model=self._script.administer("LoadModel", context, request.model))
        except EndedError as error:
            await context.abort(error.status, error.message)
            raise

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.UnloadModelResponse:  # noqa: N802
        """For an administrator."""
        try:
            return pb.UnloadModelResponse(model=self._script.administer("UnloadModel", context, request.model))
        except EndedError as error:
            await context.abort(error.status, error.message)
            raise


@contextlib.contextmanager
def serving(script: Script, directory: Path) -> Iterator[str]:
    """A sync server on a Unix socket in `directory`; gives its target."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=LIMITS)
    add_UpscalerServiceServicer_to_server(SyncServicer(script), server)
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    target = f"unix:{directory}/scripted"
    server.add_insecure_port(target)
    server.start()
    try:
        yield target
    finally:
        server.stop(0).wait()


@contextlib.asynccontextmanager
async def serving_aio(script: Script, directory: Path) -> AsyncIterator[str]:
    """An asyncio server on a Unix socket in `directory`; gives its target."""
    server = grpc.aio.server(options=LIMITS)
    add_UpscalerServiceServicer_to_server(AioServicer(script), server)
    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    target = f"unix:{directory}/scripted"
    server.add_insecure_port(target)
    await server.start()
    try:
        yield target
    finally:
        await server.stop(0)
