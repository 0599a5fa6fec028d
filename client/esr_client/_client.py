"""The sync client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2_grpc

from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceStub
from esr_client import _unary
from esr_client._client_base import ClientBase
from esr_client._config import Options, StreamConfig, configs_for
from esr_client._delivery import LOSSLESS, Delivery, Dropped
from esr_client._errors import NotFoundError, from_rpc
from esr_client._frame import Frame, Packet
from esr_client._frame_types import ChannelOrder, FrameAdapters, FrameT, check_iterable
from esr_client._protocol import ConfigStreamSpec, FrameStreamSpec
from esr_client._results import ModelInfo, ServerStatus, ServingState
from esr_client._stream import Call, StartCall, UpscaleStream
from esr_client._unary import RequestT, ResponseT, ResultT, UnaryCall

__all__ = ["Client"]


class Client(ClientBase):
    """A connection to one server. Any thread may use it, and several streams may run at once."""

    def __init__(
        self,
        target: str,
        options: Options,
        admin_token: str | None = None,
        at_close: Callable[[], object] = lambda: None,
    ) -> None:
        """Check the address, and call `at_close` once the connection is closed. Callers use `connect`.

        Raises:
            ValueError: the target is no address, or the token cannot be sent.
        """
        super().__init__(target, options, admin_token)
        self._at_close = at_close
        self._target = target
        self._channel = grpc.insecure_channel(self._address.target, options=options.channel_arguments())
        self._stub = UpscalerServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def upscale(
        self,
        frames: Iterable[FrameT],
        *,
        model: str = "",
        deinterlace: str = "",
        delivery: Delivery = LOSSLESS,
        ladder: Sequence[str] = (),
        target_fps: float | Fraction | None = None,
        source_quality: float | None = None,
        channel_order: ChannelOrder = "rgb",
        copy: bool = False,
        on_drop: Callable[[Dropped], object] | None = None,
        timeout_s: float | None = None,
    ) -> UpscaleStream[FrameT]:
        """Upscale frames: `av.VideoFrame`, arrays of uint8 or uint16, (H, W) gray or (H, W, 3) colour, or `Frame`.

        Gives the same kind, in order, with its pts; what an array or an av frame cannot hold (stage times, sequence) a
        `Frame` has. No frames, no call. Arrays are RGB, or BGR with `channel_order="bgr"`, as OpenCV has them.
        Arrays and planes that come back are read-only, because they may lie in memory that is used again; `copy=True`
        gives arrays to write to. `timeout_s` bounds the whole stream. `on_drop` is told of each frame that is
        dropped, in its place in the order, by the thread that iterates. For the rest see `StreamConfig`.

        Raises:
            TypeError: a single picture stands where an iterable of frames belongs.
            ValueError: model, ladder, target_fps and delivery do not go together, or source_quality is no quantiser.

        Raises, while iterating:
            EsrError: the server refused or ended the stream, or a frame cannot be sent.
        """
        check_iterable(frames, "upscale")
        adapters = FrameAdapters(channel_order, copy=copy)
        config = configs_for(
            model=model,
            deinterlace=deinterlace,
            delivery=delivery,
            ladder=ladder,
            target_fps=target_fps,
            source_quality=source_quality,
        )
        spec = FrameStreamSpec(config, adapters, on_drop)
        return UpscaleStream(self._starter(timeout_s), spec, frames, self._options)

    def stream(
        self,
        items: Iterable[Frame | Packet],
        config: StreamConfig,
        *,
        on_drop: Callable[[Dropped], object] | None = None,
        timeout_s: float | None = None,
    ) -> UpscaleStream[Frame | Packet]:
        """Send frames or packets, and receive frames or packets, as the config says.

        If packets come out, a drop has no exact place: an encoder may still hold frames before it.

        Raises:
            TypeError: a single item stands where an iterable belongs.

        Raises, while iterating:
            EsrError: the server refused or ended the stream, or an item cannot be sent.
        """
        check_iterable(items, "stream")
        return UpscaleStream(self._starter(timeout_s), ConfigStreamSpec(config, on_drop), items, self._options)

    def _starter(self, timeout_s: float | None) -> StartCall:
        def start(requests: Iterator[pb.UpscaleRequest]) -> Call:
            self._check_open()
            return self._stub.Upscale(requests, timeout=timeout_s)

        return start

    def upscale_image(
        self,
        frame: FrameT,
        *,
        model: str,
        source_quality: float | None = None,
        channel_order: ChannelOrder = "rgb",
        copy: bool = False,
        timeout_s: float | None = None,
    ) -> FrameT:
        """Upscale one picture; the same kind comes back. For `channel_order` and `copy` see `upscale`, for
        `source_quality` see `StreamConfig`.

        Raises:
            ValueError: source_quality is no quantiser.
            EsrError: the server refused, or the frame cannot be sent.
        """
        call = _unary.image_call(frame, model, source_quality, FrameAdapters(channel_order, copy=copy))
        return self._call(self._stub.UpscaleImage, call, timeout_s)

    def models(self) -> tuple[ModelInfo, ...]:
        """Return every model that the server can run.

        Raises:
            EsrError: the server cannot be reached.
        """
        return self._call(self._stub.ListModels, _unary.models_call())

    def load_model(self, model: str, *, timeout_s: float | None = None) -> ModelInfo:
        """Load a model while streams run. For an administrator: see `connect`.

        `model` is a name, or a weights file (`*.safetensors`) in the folder that `esr-serve --weights` names; the file
        is served under its stem from then on.

        Raises:
            AccessError: the admin token is missing or wrong.
            EsrError: there is no such model, or it cannot be loaded.
        """
        return self._call(self._stub.LoadModel, _unary.load_call(model), timeout_s, self._admin)

    def unload_model(self, model: str, *, timeout_s: float | None = None) -> ModelInfo:
        """Let go of a model. Streams that run it keep it to their end, unless a ladder has other rungs for them.

        Raises:
            AccessError: the admin token is missing or wrong.
            EsrError: there is no such model, or the server cannot do without it.
        """
        return self._call(self._stub.UnloadModel, _unary.unload_call(model), timeout_s, self._admin)

    def status(self) -> ServerStatus:
        """Return the health of the server.

        Raises:
            EsrError: the server cannot be reached.
        """
        states = []
        for service in ("", *_unary.SERVICES):
            try:
                states.append(self._call(self._health.Check, _unary.health_call(service)))
            except NotFoundError:
                states.append(ServingState.UNKNOWN)
        return _unary.status_from(states)

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        call: UnaryCall[RequestT, ResponseT, ResultT],
        timeout_s: float | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> ResultT:
        self._check_open()
        try:
            response = method(call.request, timeout=timeout_s or self._options.timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        return call.read(response)

    def close(self) -> None:
        """Close the connection, which cancels running streams, and end a private server that `connect` started."""
        self._closed = True
        self._channel.close()
        self._at_close()

    def __repr__(self) -> str:
        return f"<esr_client.Client of {self._target}, {'closed' if self._closed else 'open'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
