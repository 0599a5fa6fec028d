"""The Python SDK of edge-sr.

import esr_client

with esr_client.connect("127.0.0.1:50051") as client:           # esr_client.connect() starts a private server
    for frame in client.upscale(frames, model="esr_stack_x2"):     # video, frame by frame
        ...
    picture = client.upscale_image(array, model="esr_stack_x2")    # one picture

from esr_client.files import upscale_file                       # whole files
"""

from esr_client._aio import AsyncClient, connect_async
from esr_client._aio_stream import AsyncUpscaleStream
from esr_client._client import Client
from esr_client._config import EncodedInput, EncodedOutput, Options, RawInput, RawOutput, StreamConfig, VideoFormat
from esr_client._connect import connect
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
from esr_client._private_server import PrivateServer
from esr_client._results import (
    ModelCard,
    ModelInfo,
    Negotiated,
    ServerStatus,
    ServingState,
    StreamStatistics,
    WeightsNode,
)
from esr_client._stream import UpscaleStream


def __getattr__(name: str) -> str:
    # Looked up when it is asked for: importing importlib.metadata alone takes 50 ms.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    try:
        return metadata.version("edge-sr")
    except metadata.PackageNotFoundError:
        return metadata.version("edge-sr-client")


__all__ = [  # noqa: RUF022 -- in the order in which they are needed
    "connect",
    "connect_async",
    "Client",
    "AsyncClient",
    "UpscaleStream",
    "AsyncUpscaleStream",
    "PrivateServer",
    "Frame",
    "Packet",
    "Options",
    "Delivery",
    "StreamConfig",
    "VideoFormat",
    "RawInput",
    "RawOutput",
    "EncodedInput",
    "EncodedOutput",
    "Color",
    "ColorRange",
    "ChromaLocation",
    "DeliveryPolicy",
    "Dropped",
    "DropReason",
    "ModelInfo",
    "ModelCard",
    "WeightsNode",
    "Negotiated",
    "ServerStatus",
    "ServingState",
    "StageSeconds",
    "StreamStatistics",
    "EsrError",
    "ErrorCode",
    "AccessError",
    "CallCancelledError",
    "ClosedError",
    "ContractError",
    "DamagedInputError",
    "DeadlineExceededError",
    "FrameError",
    "InputError",
    "InternalServerError",
    "InvalidArgumentError",
    "MediaError",
    "NotFoundError",
    "OutputError",
    "PrivateServerError",
    "ResourceExhaustedError",
    "ServerError",
    "UnavailableError",
    "UnsupportedError",
]

for _name in __all__:
    # Tracebacks and help name classes as users import them.
    globals()[_name].__module__ = __name__
del _name
