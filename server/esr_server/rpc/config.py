"""Reads the config of a stream from its message."""

from __future__ import annotations

import math
from fractions import Fraction

from esr_api.v1 import upscaler_pb2 as pb
from esr_media.slots import SlotLayout
from esr_server.config import Limits
from esr_server.errors import ConfigError, ProtocolError
from esr_server.rpc import convert, numbers
from esr_server.rpc.negotiation import StreamConfig
from esr_server.streaming.delivery import Delivery, DeliveryPolicy
from esr_server.streaming.shared_memory import Offer
from esr_server.streaming.stages import StagesConfig
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import EncoderSettings
from esr_upscale.models.nodes import CLEAN, WORST

_POLICIES = {0: DeliveryPolicy.LOSSLESS, **{int(member): member for member in DeliveryPolicy}}


def stream_config(config: pb.UpscaleConfig, limits: Limits) -> StreamConfig:
    """Read what a client asks of a stream.

    Raises:
        ProtocolError: no input.
        ConfigError: a policy, deadline, ratio, colour tag or source quality that cannot be.
    """
    kind = config.WhichOneof("input")
    if kind is None:
        raise ProtocolError("a config needs raw_input or encoded_input; this one has neither")
    source = config.raw_input if kind == "raw_input" else config.encoded_input
    time_base = numbers.positive_ratio(source.time_base, "time_base", "1/90000")
    return StreamConfig(
        model=config.model,
        ladder=tuple(config.ladder),
        stages=StagesConfig(
            _decoder(config.encoded_input, time_base, limits) if kind == "encoded_input" else None,
            _encoder(config.encoded_output, time_base) if config.WhichOneof("output") == "encoded_output" else None,
            config.deinterlace,
            source_quantizer_of(config),
        ),
        format=convert.format_value(source.format),
        time_base=time_base,
        delivery=_delivery(config.delivery),
        fps=_target_fps(config),
        frames_per_response=config.frames_per_response,
        memory=memory_offer(config.shared_memory) if config.HasField("shared_memory") else None,
    )


def source_quantizer_of(message: pb.UpscaleConfig | pb.UpscaleImageRequest) -> float | None:
    """Return the declared source quality, if any.

    Raises:
        ConfigError: it is no quantiser.
    """
    if not message.HasField("source_quality"):
        return None
    quantizer = message.source_quality.quantizer
    if not CLEAN <= quantizer <= WORST:
        raise ConfigError(
            f"source_quality must be a CRF of x264, from 0 for a source that was never coded to {WORST:g}, "
            f"not {quantizer:g}"
        )
    return quantizer


def _decoder(encoded: pb.EncodedInput, time_base: Fraction, limits: Limits) -> DecoderSettings:
    fmt = convert.format_value(encoded.format)
    return DecoderSettings(
        codec=encoded.codec,
        extradata=encoded.extradata,
        time_base=time_base,
        color=fmt.color,
        sample_aspect_ratio=fmt.sample_aspect_ratio,
        rotation=fmt.rotation,
        pixels=fmt.pixels,
        max_pixels=limits.max_pixels,
        max_packet_units=limits.max_packet_units,
        skip_undecodable=encoded.skip_undecodable,
    )


def _encoder(encoded: pb.EncodedOutput, time_base: Fraction) -> EncoderSettings:
    return EncoderSettings(
        codec=encoded.codec,
        options=dict(encoded.options),
        frame_rate=numbers.known_ratio(encoded.frame_rate, "frame_rate", "30000/1001"),
        time_base=time_base,
        global_header=encoded.global_header,
    )


def _delivery(asked: pb.Delivery) -> Delivery:
    if asked.policy not in _POLICIES:
        raise ConfigError(
            f"unknown delivery policy {asked.policy}; choose one of {', '.join(p.name for p in DeliveryPolicy)}"
        )
    policy = _POLICIES[asked.policy]
    # Of the other policies it says nothing, and frames are put in order by it: not even a NaN may come in.
    return Delivery(policy, asked.deadline_s if policy is DeliveryPolicy.DEADLINE else math.inf)


def _target_fps(config: pb.UpscaleConfig) -> float | None:
    if not config.HasField("target_fps"):
        return None
    return float(numbers.positive_ratio(config.target_fps, "target_fps", "30000/1001"))


def memory_offer(message: pb.SharedMemory) -> Offer:
    """Read what a client says of its memory."""
    return Offer(
        pid=message.pid,
        fd=message.fd,
        name=message.name,
        layout=SlotLayout(
            input_slots=message.input_slots,
            input_slot_bytes=message.input_slot_bytes,
            output_slots=message.output_slots,
            output_slot_bytes=message.output_slot_bytes,
        ),
    )
