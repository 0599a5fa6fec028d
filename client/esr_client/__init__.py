"""The Python SDK of edge-sr.

import esr_client

with esr_client.connect("127.0.0.1:50051") as client:           # esr_client.connect() starts a private server
    for frame in client.upscale(frames, model="esr_tr_x2"):     # video, frame by frame
        ...
    picture = client.upscale_image(array, model="esr_tr_x2")    # one picture

from esr_client.files import upscale_file                       # whole files
"""

from importlib import metadata as _metadata

from esr_client._aio import AsyncClient, connect_async
from esr_client._aio_stream import AsyncUpscaleStream
from esr_client._client import Client, connect
from esr_client._config import EncodedInput, EncodedOutput, Options, RawInput, RawOutput, StreamConfig, VideoFormat
from esr_client._delivery import Delivery, DeliveryPolicy, Dropped, DropReason
from esr_client._errors import (
    AccessError,
    CallCancelledError,
    ClosedError,
    ContractError,
    DamagedInputError,
    DeadlineExceededError,
    ErrorCode,
    EsrError,
    FrameError,
    InputError,
    InternalServerError,
    InvalidArgumentError,
    MediaError,
    NotFoundError,
    OutputError,
    PrivateServerError,
    ResourceExhaustedError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from esr_client._frame import ChromaLocation, Color, ColorRange, Frame, Packet, StageSeconds
from esr_client._results import ModelInfo, Negotiated, ServerStatus, ServingState, StreamStatistics
from esr_client._stream import UpscaleStream


def __getattr__(name: str) -> str:
    # Looked up when it is asked for: reading the metadata of packages takes longer than the rest of this file.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _metadata.version("edge-sr")


__all__ = [
    "AccessError",
    "AsyncClient",
    "AsyncUpscaleStream",
    "CallCancelledError",
    "ChromaLocation",
    "Client",
    "ClosedError",
    "Color",
    "ColorRange",
    "ContractError",
    "DamagedInputError",
    "DeadlineExceededError",
    "Delivery",
    "DeliveryPolicy",
    "DropReason",
    "Dropped",
    "EncodedInput",
    "EncodedOutput",
    "ErrorCode",
    "EsrError",
    "Frame",
    "FrameError",
    "InputError",
    "InternalServerError",
    "InvalidArgumentError",
    "MediaError",
    "ModelInfo",
    "Negotiated",
    "NotFoundError",
    "Options",
    "OutputError",
    "Packet",
    "PrivateServerError",
    "RawInput",
    "RawOutput",
    "ResourceExhaustedError",
    "ServerError",
    "ServerStatus",
    "ServingState",
    "StageSeconds",
    "StreamConfig",
    "StreamStatistics",
    "UnavailableError",
    "UnsupportedError",
    "UpscaleStream",
    "VideoFormat",
    "connect",
    "connect_async",
]
