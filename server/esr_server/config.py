"""Frozen settings of the service, with their defaults and their limits."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from esr_api.address import GRPC_PORT, HTTP_PORT, Address
from esr_media.formats import PIXEL_FORMATS
from esr_server.errors import ConfigError
from esr_upscale.engine import EngineSettings
from esr_upscale.errors import FrameError, LimitError
from esr_upscale.models import DEFAULT_MODEL

_MESSAGE_OVERHEAD_BYTES = 64 * 1024
_STRIDE_SLACK = 1.1  # decoders pad rows; a tenth covers 64-byte alignment from a width of 640 on
_GRPC_MAX_MESSAGE_BYTES = 2**31 - 1
_LONGEST_KEEPALIVE_S = 86400.0
_GRPC = Address("127.0.0.1", GRPC_PORT)
_HTTP = Address("127.0.0.1", HTTP_PORT)


class CodecIsolation(StrEnum):
    """Where decoders and encoders run."""

    NONE = "none"
    """In the server's process."""
    PROCESS = "process"
    """Each in a process of its own."""


DEFAULT_ISOLATION = CodecIsolation.PROCESS if sys.platform == "linux" else CodecIsolation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Maximum sizes of pictures, packets and shared memory."""

    max_pixels: int = 3840 * 2160
    """Pixels of one input picture."""
    max_output_pixels: int = 7680 * 4320
    """Pixels of one output picture."""
    max_packet_bytes: int = 32 * 1024 * 1024
    """Bytes of one compressed packet, where the size of its picture does not say less."""
    max_packet_units: int = 4096
    """NAL units in one packet of H.264 or HEVC; a decoder takes some 4 kB for each, however short it is."""
    max_shared_bytes: int = 8 * 1024**3
    """Bytes of shared memory that a client may offer for one stream. Only those that frames touch cost anything."""

    def check(self, width: int, height: int, scale: int) -> None:
        """Raise FrameError for an empty picture, LimitError where input or output would be over the limit."""
        if width < 1 or height < 1:
            raise FrameError(f"a picture must be at least 1x1, not {width}x{height}")
        if width * height > self.max_pixels:
            raise LimitError(
                f"a {width}x{height} picture has {width * height} pixels; this server takes at most {self.max_pixels}"
            )
        output = width * height * scale * scale
        if output > self.max_output_pixels:
            raise LimitError(
                f"{width}x{height} at x{scale} makes {output} pixels; this server makes at most "
                f"{self.max_output_pixels}: choose a smaller scale"
            )

    @property
    def max_receive_bytes(self) -> int:
        """Return the bytes of the largest request: a frame of the largest format, or a packet."""
        return _message_bytes(max(self.max_frame_bytes, self.max_packet_bytes))

    @property
    def max_send_bytes(self) -> int:
        return _message_bytes(self.max_output_frame_bytes)

    @property
    def max_frame_bytes(self) -> int:
        """Return the bytes of an input picture of the largest format, with padded rows."""
        return _frame_bytes(self.max_pixels)

    @property
    def max_output_frame_bytes(self) -> int:
        """Return the bytes of an output picture of the largest format, with padded rows."""
        return _frame_bytes(self.max_output_pixels)


def _message_bytes(payload_bytes: int) -> int:
    return min(payload_bytes + _MESSAGE_OVERHEAD_BYTES, _GRPC_MAX_MESSAGE_BYTES)


def _frame_bytes(pixels: int) -> int:
    """Bytes of a picture of so many pixels in the largest format, with padded rows."""
    largest = max(fmt.frame_bytes(64, 64) for fmt in PIXEL_FORMATS.values()) / (64 * 64)
    return int(pixels * largest * _STRIDE_SLACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSettings:
    """Limits on running streams and waiting frames."""

    workers: int = max(2, os.cpu_count() or 1)
    """Frames that are upscaled at the same time, of all streams together."""
    max_streams: int = 64
    """Maximum number of concurrent streams; others are refused."""
    queue_items: int = 2
    """Frames or packets that may wait on each side of a stream's stages. Then flow control blocks the sender."""
    deadline_items: int = 8
    """Frames that wait before the stages of a stream that is delivered by deadline; one more, and the oldest is
    dropped."""
    rest_s: float = 5.0
    """Seconds without a stream after which what is kept for the next one is given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySettings:
    """How much is given away, and how carefully."""

    max_load: float = 0.9
    """Of the machine."""
    hold_s: float = 1.0
    """How long a better model must have been affordable before a stream goes up to it."""
    longest_hold_s: float = 60.0
    """The same, at most, after going up has made frames late again and again."""
    window_s: float = 0.25
    """Frames are counted as late or in time over so many seconds before anything follows from them."""
    late_share: float = 0.02
    """Of the frames in a window: with more, the machine is slower than it was measured to be."""

    def __post_init__(self) -> None:
        if not 0 < self.max_load < math.inf:
            raise ConfigError(f"max_load must be a fraction of the machine above 0, such as 0.9, not {self.max_load}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Settings of `esr-serve`."""

    listen: tuple[Address, ...] = (_GRPC,)
    """Where gRPC is served."""
    http: Address | None = _HTTP
    """Where /metrics, /healthz, /readyz and the status page are served, over TCP; None for nowhere."""
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    """Loaded at start; the first is the default. Others are loaded when first asked for."""
    own_models: Mapping[str, Path] = field(default_factory=dict)
    """Name → file of own weights."""
    weights: Path | None = None
    """Folder of own weights, served under their stems, of which an administrator may load more."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    limits: Limits = field(default_factory=Limits)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    capacity: CapacitySettings = field(default_factory=CapacitySettings)
    admin_token: str | None = field(default=None, repr=False)
    """Token that LoadModel and UnloadModel need; None: both are refused."""
    shared_memory: bool = True
    """Whether clients on this host may pass frames in memory that they share."""
    codec_isolation: CodecIsolation = DEFAULT_ISOLATION
    codec_timeout_s: float = 20.0
    """Seconds that a codec in a process of its own may take for one packet or frame."""
    config_timeout_s: float = 10.0
    """Seconds in which a new stream must send its config."""
    keepalive_s: float = 20.0
    """Seconds of silence after which a client gets a ping. If no answer comes in the same time again, its call ends."""
    grace_s: float = 30.0
    """Seconds that running streams get to finish after SIGTERM."""

    def __post_init__(self) -> None:
        if self.codec_isolation is CodecIsolation.PROCESS and sys.platform != "linux":
            raise ConfigError("codecs have processes of their own on Linux only; choose --codec-isolation none")
        if not 0 < self.codec_timeout_s < math.inf:
            raise ConfigError(f"codec timeout must be a number of seconds above 0, not {self.codec_timeout_s}")
        if not 0 <= self.grace_s < math.inf:
            raise ConfigError(f"grace must be a number of seconds from 0, such as 30, not {self.grace_s}")
        if not 1 <= self.keepalive_s <= _LONGEST_KEEPALIVE_S:
            raise ConfigError(
                f"keepalive must be a number of seconds from 1 to {_LONGEST_KEEPALIVE_S:g}, not {self.keepalive_s}"
            )
