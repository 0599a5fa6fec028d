"""What a client asks of a stream, and what it gets: which models may run it, at what rate, and which frames may go."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from esr_media.color import Color
from esr_server.config import Limits
from esr_server.errors import ConfigError
from esr_server.models.served import ServedModel
from esr_server.scheduling.capacity import Demand
from esr_server.streaming.delivery import Delivery, DeliveryPolicy, FrameClock
from esr_server.streaming.shared_memory import Offer
from esr_server.streaming.stages import StagesConfig
from esr_upscale.frame import pixel_format

MOST_FRAMES = 8
"""In one message."""


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What the pictures of a stream are. Before a decoder has seen one, fields may be empty."""

    pixel_format: str
    width: int
    height: int
    color: Color
    sample_aspect_ratio: Fraction | None
    rotation: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def upscaled(self, scale: int) -> VideoFormat:
        """Return the format of the stream's output."""
        return VideoFormat(
            self.pixel_format,
            self.width * scale,
            self.height * scale,
            self.color,
            self.sample_aspect_ratio,
            self.rotation,
        )


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What a client asks of a stream."""

    model: str
    ladder: tuple[str, ...]
    stages: StagesConfig
    format: VideoFormat
    time_base: Fraction
    delivery: Delivery
    fps: float | None
    """Frames per second that the stream declares."""
    frames_per_response: int
    memory: Offer | None


@dataclass(frozen=True, slots=True)
class StreamParams:
    """What a stream is: its config, checked, and the models that it may run."""

    config: StreamConfig
    models: tuple[ServedModel, ...]
    """Best first."""

    @property
    def scale(self) -> int:
        return self.models[0].scale

    @property
    def demand(self) -> Demand[ServedModel]:
        """Return the stream's demand on the machine."""
        return Demand(self.models, self.config.fps, self.config.format.pixels)

    @property
    def evicts(self) -> bool:
        """Return whether a waiting frame can be dropped: not if decoding or deinterlacing needs it for a later one."""
        return self.config.stages.decoder is None and not self.config.stages.deinterlace

    @property
    def frames_per_response(self) -> int:
        """Return how many frames one response may hold: more than one where no time was promised."""
        promised = self.config.fps is not None or self.config.delivery.policy is not DeliveryPolicy.LOSSLESS
        return 1 if promised else min(self.config.frames_per_response, MOST_FRAMES)

    def frame_clock(self) -> FrameClock:
        """Make the clock that says when each frame is due."""
        return FrameClock(self.config.fps, self.config.delivery.deadline_s)

    def __str__(self) -> str:
        """Describe the stream in a line of the log."""
        fmt, delivery, fps = self.config.format, self.config.delivery, self.config.fps
        size = f"{fmt.width}x{fmt.height}" if fmt.width else "of unknown size"
        decoder, encoder = self.config.stages.decoder, self.config.stages.encoder
        rate = f"{fps:.4g} fps" if fps else "no rate"
        deadline = f" of {delivery.deadline_s:g} s" if delivery.policy is DeliveryPolicy.DEADLINE else ""
        return (
            f"{decoder.codec if decoder else 'frames'} {size} to {encoder.codec if encoder else 'frames'} at "
            f"x{self.scale}, {rate}, {delivery.policy.name.lower()}{deadline}"
        )


def negotiate(config: StreamConfig, models: tuple[ServedModel, ...], limits: Limits) -> StreamParams:
    """Check what a stream asks for against the limits.

    Raises:
        FrameError: a size that cannot be; LimitError: a size over the limit.
        UnsupportedFormatError: a pixel format that is not in the table.
        ConfigError: a rate or a ladder that cannot be.
    """
    params = StreamParams(config, models)
    fmt, raw = config.format, config.stages.decoder is None
    # An encoded stream's format is what its container says, if anything.
    if raw or fmt.pixel_format:
        pixel_format(fmt.pixel_format)
    if raw or fmt.width or fmt.height:
        limits.check(fmt.width, fmt.height, params.scale)
    if config.fps is None and (config.ladder or config.model.lower().startswith("auto")):
        raise ConfigError("a ladder, or model auto, needs target_fps: the rate decides which model runs")
    if config.fps is not None and not fmt.pixels:
        raise ConfigError("a stream with target_fps needs the picture size in the input's format")
    return params
