"""What is agreed on for one stream: which models may run it, at what rate, and what becomes of frames in excess."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.capacity import Capacity, Demand, Reservation
from esr_server.config import Limits
from esr_server.delivery import Delivery, DeliveryPolicy, FrameClock
from esr_server.errors import ConfigError
from esr_server.models import ServedModel
from esr_server.rpc import convert
from esr_server.session import SessionConfig
from esr_server.shared_memory import InlineMemory
from esr_upscale.frame import pixel_format

MOST_FRAMES = 8
"""In one message."""


@dataclass(frozen=True, slots=True)
class StreamParams:
    """Read from a config, and checked."""

    config: pb.UpscaleConfig
    session: SessionConfig
    delivery: Delivery
    fps: float | None
    """Frames per second that the stream declares."""
    models: tuple[ServedModel, ...]
    """That it may run, best first."""

    @property
    def scale(self) -> int:
        return self.models[0].scale

    @property
    def format(self) -> pb.VideoFormat:
        """Return the announced format; fields that the config leaves out are empty."""
        return convert.input_format(self.config)

    @property
    def time_base(self) -> Fraction:
        return convert.time_base_of(self.config)

    @property
    def demand(self) -> Demand[ServedModel]:
        """Return the stream's demand on the machine."""
        return Demand(self.models, self.fps, self.format.width * self.format.height)

    @property
    def evicts(self) -> bool:
        """Return whether a waiting frame can be dropped: not if decoding or deinterlacing needs it for a later one."""
        return self.session.decoder is None and not self.session.deinterlace

    @property
    def frames_per_response(self) -> int:
        """Return how many of its frames may go together: more than one where no time was promised."""
        promised = self.fps is not None or self.delivery.policy is not DeliveryPolicy.LOSSLESS
        return 1 if promised else min(self.config.frames_per_response, MOST_FRAMES)

    def __str__(self) -> str:
        """Say in a line of the log what was agreed on."""
        fmt, delivery = self.format, self.delivery
        size = f"{fmt.width}x{fmt.height}" if fmt.width else "of unknown size"
        decoder, encoder = self.session.decoder, self.session.encoder
        rate = f"{self.fps:.4g} fps" if self.fps else "no rate"
        deadline = f" of {delivery.deadline_s:g} s" if delivery.policy is DeliveryPolicy.DEADLINE else ""
        return (
            f"{decoder.codec if decoder else 'frames'} {size} to {encoder.codec if encoder else 'frames'} at "
            f"x{self.scale}, {rate}, {delivery.policy.name.lower()}{deadline}"
        )

    def frame_clock(self) -> FrameClock:
        """Says when its frames are due."""
        return FrameClock(self.fps, self.delivery.deadline_s)

    def negotiated(self, stream_id: str, reservation: Reservation[ServedModel], memory: InlineMemory) -> pb.Negotiated:
        first = reservation.rung
        return pb.Negotiated(
            stream_id=stream_id,
            model=first.name,
            backend=first.backend,
            scale=first.scale,
            output_format=convert.output_format(self.format, first.scale),
            time_base=convert.ratio_message(self.time_base),
            shared_memory=memory.shared,
            shared_memory_refusal=memory.refusal,
            delivery=convert.delivery_message(self.delivery),
            ladder=[model.name for model in self.models] if len(self.models) > 1 else [],
        )


def negotiate(config: pb.UpscaleConfig, models: tuple[ServedModel, ...], limits: Limits) -> StreamParams:
    """Read what a stream was asked to be, and check it against the limits.

    Raises:
        ProtocolError: no input; FrameError: a time base or size that cannot be; LimitError: a size over the limit.
        UnsupportedFormatError: a pixel format that is not in the table.
        ConfigError: a delivery, a rate or a ladder that cannot be.
    """
    session = convert.session_config(config, limits)
    params = StreamParams(config, session, convert.delivery_of(config), convert.target_fps_of(config), models)
    _check_format(params, limits)
    _check_rate(params)
    return params


def _check_format(params: StreamParams, limits: Limits) -> None:
    """Check a raw stream's format now, and an encoded one's if the container has said it."""
    fmt, raw = params.format, params.session.decoder is None
    if raw or fmt.pixel_format:
        pixel_format(fmt.pixel_format)
    if raw or fmt.width or fmt.height:
        limits.check(fmt.width, fmt.height, params.scale)


def _check_rate(params: StreamParams) -> None:
    asked = params.config
    if params.fps is None and (asked.ladder or asked.model.lower().startswith("auto")):
        raise ConfigError("a ladder, or model auto, needs target_fps: the rate says which model is enough")
    if params.fps is not None and not params.demand.pixels:
        raise ConfigError("a stream with target_fps says the size of its pictures in the input's format")


@contextmanager
def reserve(capacity: Capacity[ServedModel], params: StreamParams) -> Iterator[Reservation[ServedModel]]:
    """Hold a stream's share of the machine.

    Raises:
        OverloadedError: there is none left for it.
    """
    reservation = capacity.admit(params.demand)
    try:
        yield reservation
    finally:
        capacity.release(reservation)
