"""What a server says of itself and of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from esr_client._config import VideoFormat
from esr_client._delivery import LOSSLESS, Delivery
from esr_client._frame import StageSeconds

__all__ = ["ModelCard", "ModelInfo", "Negotiated", "ServerStatus", "ServingState", "StreamStatistics", "WeightsNode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """The negotiated stream, as the server answered first."""

    stream_id: str
    model: str
    """Canonical id."""
    backend: str
    scale: int
    output_format: VideoFormat
    """As known so far; with encoded input the first frame has the last word."""
    time_base: Fraction
    delivery: Delivery = LOSSLESS
    ladder: tuple[str, ...] = ()
    """Canonical ids, best first; `model` is the one that the stream begins with."""
    shared_memory: bool = False
    """Whether raw frames go through shared memory; single ones may still come inline."""
    shared_memory_refusal: str = ""
    """Why they do not; empty if memory was not offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatistics:
    """The server's account of a stream that ended well: frames_in = frames_out + frames_dropped + frames_failed."""

    frames_in: int = 0
    frames_out: int = 0
    frames_failed: int = 0
    packets_in: int = 0
    packets_out: int = 0
    packets_skipped: int = 0
    elapsed_s: float = 0.0
    stages: StageSeconds = field(default_factory=StageSeconds)
    """Sums over all frames."""
    frames_dropped: int = 0
    model_switches: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """The origin of a model's weights; unknown fields are empty."""

    recipe: str = ""
    """How they were made."""
    data: str = ""
    """What they were made from."""
    licence: str = ""
    """SPDX id."""
    date: str = ""
    """Day they were made, ISO 8601."""


@dataclass(frozen=True, slots=True)
class WeightsNode:
    """A kind of source that a model has weights for. As a string: `17`, or with a downscaler `17/area`."""

    quantizer: float
    """The CRF of x264 that damages as much, 0 … 51; 0: never coded."""
    downscaler: str = ""
    """What made the source small, `area` or `sharp`; empty: anything."""

    def __str__(self) -> str:
        return f"{self.quantizer:g}/{self.downscaler}" if self.downscaler else f"{self.quantizer:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model that a server can run."""

    model: str
    """Canonical id, or the name of the server's own weights."""
    alias: str
    """Empty if it has none."""
    paper_id: str
    family: str
    scale: int
    parameters: int
    macs_per_pixel: int
    """Multiply-accumulates for each input pixel."""
    psnr_db: Mapping[str, float] = field(default_factory=dict)
    """PSNR on luma by data set, as the model's card says."""
    backend: str
    """What it would run on there."""
    loaded: bool
    seconds_per_frame: float = 0.0
    """As measured there after it was loaded, as the next one; both are 0 if it is not."""
    seconds_per_pixel: float = 0.0
    network: str = ""
    """Canonical id of the network, for own weights too; empty from servers that do not say it."""
    weights_sha256: str = ""
    """Of the weights file, in hexadecimal; empty for a model without weights."""
    card: ModelCard = field(default_factory=ModelCard)
    nodes: tuple[WeightsNode, ...] = ()
    """The kinds of source that it has weights for, in addition to those for all sources."""

    def seconds_for(self, width: int, height: int) -> float | None:
        """Return the seconds that a frame of this size takes, before it is upscaled; None if they were not measured."""
        seconds = self.seconds_per_frame + self.seconds_per_pixel * width * height
        return seconds or None


class ServingState(StrEnum):
    """The health of one of a server's services. NOT_SERVING: shutting down, or not ready yet."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """The health of a server."""

    overall: ServingState
    services: Mapping[str, ServingState]
    """By service name."""

    @property
    def serving(self) -> bool:
        """Return whether the server takes calls now."""
        return self.overall is ServingState.SERVING
