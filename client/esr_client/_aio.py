"""The asyncio client."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceStub
from esr_client import _unary
from esr_client._aio_stream import AsyncUpscaleStream, Call, StartCall
from esr_client._client_base import ClientBase
from esr_client._config import Options, StreamConfig, configs_for
from esr_client._delivery import LOSSLESS, Delivery, Dropped
from esr_client._errors import NotFoundError, from_rpc
from esr_client._frame import Frame, Packet
from esr_client._frame_types import ChannelOrder, FrameAdapters, FrameT, check_iterable
from esr_client._protocol import ConfigStreamSpec, FrameStreamSpec
from esr_client._results import ModelInfo, ServerStatus, ServingState
from esr_client._unary import RequestT, ResponseT, ResultT, UnaryCall

if TYPE_CHECKING:
    from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceAsyncStub

__all__ = ["AsyncClient", "connect_async"]


class AsyncClient(ClientBase):
    """A connection to one server, for one event loop. Several streams may run at once."""

    def __init__(self, target: str, options: Options, admin_token: str | None = None) -> None:
        super().__init__(target, options, admin_token)
        self._channel = grpc.aio.insecure_channel(self._address.target, options=options.channel_arguments())
        # The stub for both kinds of channel is one class; only its types are two.
        self._stub = cast("UpscalerServiceAsyncStub", UpscalerServiceStub(self._channel))
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def upscale(
        self,
        frames: AsyncIterable[FrameT] | Iterable[FrameT],
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
    ) -> AsyncUpscaleStream[FrameT]:
        """Upscale frames as `Client.upscale` does. An iterable that is not asynchronous must not block."""
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
        return AsyncUpscaleStream(self._starter(timeout_s), spec, frames, self._options)

    def stream(
        self,
        items: AsyncIterable[Frame | Packet] | Iterable[Frame | Packet],
        config: StreamConfig,
        *,
        on_drop: Callable[[Dropped], object] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncUpscaleStream[Frame | Packet]:
        """Stream frames or packets as `Client.stream` does. An iterable that is not asynchronous must not block."""
        check_iterable(items, "stream")
        return AsyncUpscaleStream(self._starter(timeout_s), ConfigStreamSpec(config, on_drop), items, self._options)

    def _starter(self, timeout_s: float | None) -> StartCall:
        def start(requests: AsyncIterator[pb.UpscaleRequest]) -> Call:
            self._check_open()
            return self._stub.Upscale(requests, timeout=timeout_s)

        return start

    async def upscale_image(
        self,
        frame: FrameT,
        *,
        model: str,
        source_quality: float | None = None,
        channel_order: ChannelOrder = "rgb",
        copy: bool = False,
        timeout_s: float | None = None,
    ) -> FrameT:
        """Upscale one picture as `Client.upscale_image` does."""
        call = _unary.image_call(frame, model, source_quality, FrameAdapters(channel_order, copy=copy))
        return await self._call(self._stub.UpscaleImage, call, timeout_s)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return the server's models as `Client.models` does."""
        return await self._call(self._stub.ListModels, _unary.models_call())

    async def load_model(self, model: str, *, timeout_s: float | None = None) -> ModelInfo:
        """Load a model as `Client.load_model` does."""
        return await self._call(self._stub.LoadModel, _unary.load_call(model), timeout_s, self._admin)

    async def unload_model(self, model: str, *, timeout_s: float | None = None) -> ModelInfo:
        """Unload a model as `Client.unload_model` does."""
        return await self._call(self._stub.UnloadModel, _unary.unload_call(model), timeout_s, self._admin)

    async def status(self) -> ServerStatus:
        """Return the server's status as `Client.status` does."""
        states = []
        for service in ("", *_unary.SERVICES):
            try:
                states.append(await self._call(self._health.Check, _unary.health_call(service)))
            except NotFoundError:
                states.append(ServingState.UNKNOWN)
        return _unary.status_from(states)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        call: UnaryCall[RequestT, ResponseT, ResultT],
        timeout_s: float | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> ResultT:
        self._check_open()
        try:
            response = await method(call.request, timeout=timeout_s or self._options.timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        return call.read(response)

    async def close(self) -> None:
        """Close the connection; running streams are cancelled."""
        self._closed = True
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def connect_async(target: str, *, options: Options | None = None, admin_token: str | None = None) -> AsyncClient:
    """Make a client for the running event loop; addresses are as `connect`'s.

    Nothing is sent before the first call. Use it as `async with`, or await `close()`. `admin_token` is as `connect`'s.

    Raises:
        ValueError: the target is no address, or the token cannot be sent.
    """
    return AsyncClient(target, options or Options(), admin_token)
