"""The sync client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceStub
from esr_client import _calls
from esr_client._body import Plan
from esr_client._config import Options, StreamConfig
from esr_client._errors import ClosedError, NotFoundError, from_rpc
from esr_client._frame import Frame, Packet
from esr_client._kinds import FrameT
from esr_client._results import ModelInfo, ServerStatus, ServingState
from esr_client._stream import Call, StartCall, UpscaleStream

__all__ = ["Client", "connect"]

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc(error) from error


class Client:
    """A connection to one server. Any thread may use it, and several streams may run at once."""

    def __init__(self, target: str, options: Options) -> None:
        self._options = _calls.options_for(target, options)
        self._closed = False
        self._channel = grpc.insecure_channel(_calls.grpc_target(target), options=options.channel_arguments())
        self._stub = UpscalerServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def upscale(
        self, frames: Iterable[FrameT], *, model: str, deinterlace: str = "", timeout_s: float | None = None
    ) -> UpscaleStream[FrameT]:
        """Upscale frames: `av.VideoFrame`, arrays of uint8, (H, W) gray or (H, W, 3) RGB, or `Frame`.

        Gives the same kind, in order, with its pts; what an array or an av frame cannot hold (stage times, sequence) a
        `Frame` has. No frames, no call. `deinterlace` is "bwdif" or empty. `timeout_s` bounds the whole stream.

        Raises, while iterating:
            EsrError: the server refused or ended the stream, or a frame cannot be sent.
        """
        return UpscaleStream(self._starter(timeout_s), Plan.for_frames(model, deinterlace), frames, self._options)

    def stream(
        self, items: Iterable[Frame | Packet], config: StreamConfig, *, timeout_s: float | None = None
    ) -> UpscaleStream[Frame | Packet]:
        """Send frames or packets, and receive frames or packets, as the config says.

        Raises, while iterating:
            EsrError: the server refused or ended the stream, or an item cannot be sent.
        """
        return UpscaleStream(self._starter(timeout_s), Plan.for_config(config), items, self._options)

    def _starter(self, timeout_s: float | None) -> StartCall:
        def start(requests: Iterator[pb.UpscaleRequest]) -> Call:
            self._check_open()
            return self._stub.Upscale(requests, timeout=timeout_s)

        return start

    def upscale_image(self, frame: FrameT, *, model: str, timeout_s: float | None = None) -> FrameT:
        """Upscale one picture; the same kind comes back.

        Raises:
            EsrError: the server refused, or the frame cannot be sent.
        """
        request, answer = _calls.image_request(frame, model)
        return answer(self._unary(self._stub.UpscaleImage, request, timeout_s))

    def models(self) -> tuple[ModelInfo, ...]:
        """Every model that the server can run.

        Raises:
            EsrError: the server cannot be reached.
        """
        return _calls.models_from(self._unary(self._stub.ListModels, pb.ListModelsRequest()))

    def status(self) -> ServerStatus:
        """The health of the server.

        Raises:
            EsrError: the server cannot be reached.
        """
        return _calls.status_from(self._state(service) for service in ("", *_calls.SERVICES))

    def _state(self, service: str) -> ServingState:
        try:
            return _calls.state_from(self._unary(self._health.Check, health_pb2.HealthCheckRequest(service=service)))
        except NotFoundError:
            return ServingState.UNKNOWN

    def _unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        timeout_s: float | None = None,
    ) -> ResponseT:
        self._check_open()
        with _translated():
            return method(request, timeout=timeout_s or self._options.timeout_s)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this client was closed")

    def close(self) -> None:
        """Close the connection; running streams are cancelled."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(target: str, *, options: Options | None = None) -> Client:
    """A client of the server at `host:port` or `unix:PATH`. Nothing is sent before the first call.

    Raises:
        ValueError: the target is neither.
    """
    return Client(target, options or Options())
