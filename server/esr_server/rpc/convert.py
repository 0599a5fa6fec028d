"""Conversion between protobuf messages and the server's own values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import Limits
from esr_server.delivery import Delivery, DeliveryPolicy, Dropped
from esr_server.errors import ConfigError, ProtocolError
from esr_server.models import ModelEntry
from esr_server.session import Result, SessionConfig, StageSeconds, StreamStatistics
from esr_server.shared_memory import InlineMemory, Offer, plane_bytes
from esr_upscale.errors import FrameError
from esr_upscale.frame import (
    ChromaLocation,
    Color,
    ColorRange,
    Frame,
    PixelFormat,
    pixel_format,
    planes_from_buffers,
)
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import EncoderSettings
from esr_upscale.models.nodes import CLEAN, WORST
from esr_upscale.packet import Packet

_H273_UNSPECIFIED = 2
_RANGES = {int(member): member for member in ColorRange}
_LOCATIONS = {int(member): member for member in ChromaLocation}
_POLICIES = {0: DeliveryPolicy.LOSSLESS, **{int(member): member for member in DeliveryPolicy}}


def session_config(config: pb.UpscaleConfig, limits: Limits) -> SessionConfig:
    """Read what a stream was asked to be.

    Raises:
        ProtocolError: no input; FrameError: a time base or size that cannot be; LimitError: a size over the limit.
    """
    time_base_of(config)
    return SessionConfig(_decoder(config, limits), _encoder(config), config.deinterlace, source_quantizer_of(config))


def source_quantizer_of(message: pb.UpscaleConfig | pb.UpscaleImageRequest) -> float | None:
    """Return the declared source quality, if any. Raises ConfigError for one that is no quantiser."""
    if not message.HasField("source_quality"):
        return None
    quantizer = message.source_quality.quantizer
    if not CLEAN <= quantizer <= WORST:
        raise ConfigError(
            f"source_quality is on the scale of x264's CRF, from 0 for a source that was never coded to {WORST:g}, "
            f"not {quantizer:g}"
        )
    return quantizer


def time_base_of(config: pb.UpscaleConfig) -> Fraction:
    """The time base of the stream's input, and so of its output, in seconds."""
    kind = config.WhichOneof("input")
    if kind is None:
        raise ProtocolError("a config has raw_input or encoded_input; this one has neither")
    ratio = config.raw_input.time_base if kind == "raw_input" else config.encoded_input.time_base
    if ratio.num < 1 or ratio.den < 1:
        raise FrameError(f"a time base is a positive ratio of seconds such as 1/90000, not {ratio.num}/{ratio.den}")
    return Fraction(ratio.num, ratio.den)


def delivery_of(config: pb.UpscaleConfig) -> Delivery:
    """Return how a stream treats frames that come too fast. Raises ConfigError for an invalid policy or deadline."""
    asked = config.delivery
    if asked.policy not in _POLICIES:
        raise ConfigError(
            f"there is no delivery policy {asked.policy}; there are {', '.join(p.name for p in DeliveryPolicy)}"
        )
    return Delivery(_POLICIES[asked.policy], asked.deadline_s or math.inf)


def delivery_message(delivery: Delivery) -> pb.Delivery:
    policy: pb.DeliveryPolicy = delivery.policy.value  # type: ignore[assignment]  # the two enums share their numbers
    return pb.Delivery(
        policy=policy, deadline_s=delivery.deadline_s if delivery.policy is DeliveryPolicy.DEADLINE else 0.0
    )


def target_fps_of(config: pb.UpscaleConfig) -> float | None:
    """The rate that a stream declares; None if it declares none. Raises ConfigError for one that cannot be."""
    if not config.HasField("target_fps"):
        return None
    ratio = config.target_fps
    if ratio.num < 1 or ratio.den < 1:
        raise ConfigError(f"target_fps is a positive ratio such as 30000/1001, not {ratio.num}/{ratio.den}")
    return ratio.num / ratio.den


def input_format(config: pb.UpscaleConfig) -> pb.VideoFormat:
    """The format that the config announces; empty fields where it does not say."""
    encoded = config.WhichOneof("input") == "encoded_input"
    return config.encoded_input.format if encoded else config.raw_input.format


def _decoder(config: pb.UpscaleConfig, limits: Limits) -> DecoderSettings | None:
    if config.WhichOneof("input") != "encoded_input":
        return None
    given = config.encoded_input
    return DecoderSettings(
        codec=given.codec,
        extradata=given.extradata,
        time_base=time_base_of(config),
        color=color_info(given.format.color),
        sample_aspect_ratio=ratio_or_none(given.format.sample_aspect_ratio),
        rotation=given.format.rotation,
        pixels=given.format.width * given.format.height,
        max_pixels=limits.max_pixels,
        max_packet_units=limits.max_packet_units,
        skip_undecodable=given.skip_undecodable,
    )


def _encoder(config: pb.UpscaleConfig) -> EncoderSettings | None:
    if config.WhichOneof("output") != "encoded_output":
        return None
    wanted = config.encoded_output
    return EncoderSettings(
        codec=wanted.codec,
        options=dict(wanted.options),
        frame_rate=ratio_or_none(wanted.frame_rate),
        global_header=wanted.global_header,
    )


def ratio_or_none(ratio: pb.Rational) -> Fraction | None:
    """A ratio, or None for "unknown"."""
    return Fraction(ratio.num, ratio.den) if ratio.den and ratio.num else None


def ratio_message(ratio: Fraction | None) -> pb.Rational:
    """A ratio as a message; None is "unknown"."""
    return pb.Rational(num=ratio.numerator, den=ratio.denominator) if ratio else pb.Rational()


def color_info(color: pb.Color) -> Color:
    """Colour tags; what is not set is unspecified, and so is a value that this version does not know."""
    return Color(
        _RANGES.get(color.range, ColorRange.UNSPECIFIED),
        color.primaries or _H273_UNSPECIFIED,
        color.transfer or _H273_UNSPECIFIED,
        color.matrix or _H273_UNSPECIFIED,
        _LOCATIONS.get(color.chroma_location, ChromaLocation.UNSPECIFIED),
    )


def memory_offer(message: pb.SharedMemory) -> Offer:
    return Offer(
        pid=message.pid,
        fd=message.fd,
        name=message.name,
        input_slots=message.input_slots,
        input_slot_bytes=message.input_slot_bytes,
        output_slots=message.output_slots,
        output_slot_bytes=message.output_slot_bytes,
    )


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """What frames are, read from a message once for all that follow."""

    pixel_format: PixelFormat
    width: int
    height: int
    color: Color
    sample_aspect_ratio: Fraction | None
    rotation: int


def frame_format(message: pb.VideoFormat) -> FrameFormat:
    """Read a format. Raises UnsupportedFormatError for pixels that are not in the table."""
    return FrameFormat(
        pixel_format(message.pixel_format),
        message.width,
        message.height,
        color_info(message.color),
        ratio_or_none(message.sample_aspect_ratio),
        message.rotation,
    )


def frame_value(message: pb.Frame, fmt: FrameFormat, time_base: Fraction, memory: InlineMemory) -> tuple[Frame, int]:
    """View a frame message as a frame, without a copy of its planes, and count its payload bytes.

    Raises:
        FrameError: size, planes, stride, place and format do not fit; ProtocolError: a slot that is not there.
    """
    row = fmt.pixel_format
    buffers = _slot_buffers(message, fmt, memory) if message.HasField("slot") else _inline_buffers(message)
    frame = Frame(
        row,
        fmt.width,
        fmt.height,
        planes_from_buffers(row, fmt.width, fmt.height, buffers),
        pts=message.pts if message.HasField("pts") else None,
        duration=message.duration if message.HasField("duration") else None,
        time_base=time_base,
        color=fmt.color,
        sample_aspect_ratio=fmt.sample_aspect_ratio,
        rotation=fmt.rotation,
        interlaced=message.interlaced,
        corrupt=message.corrupt,
    )
    return frame, sum(len(data) for data, _ in buffers)


def _inline_buffers(message: pb.Frame) -> list[tuple[bytes | memoryview, int]]:
    if any(plane.offset for plane in message.planes):
        raise FrameError("a plane has an offset only where its frame has a slot")
    return [(plane.data, plane.stride) for plane in message.planes]


def _slot_buffers(message: pb.Frame, fmt: FrameFormat, memory: InlineMemory) -> list[tuple[bytes | memoryview, int]]:
    row, slot = fmt.pixel_format, memory.input_slot(message.slot.index)
    if any(plane.data for plane in message.planes):
        raise FrameError("a frame has a slot, or data in its planes; this one has both")
    if len(message.planes) != len(row.planes):
        raise FrameError(f"{row.name} has {len(row.planes)} planes, the frame has {len(message.planes)}")
    buffers: list[tuple[bytes | memoryview, int]] = []
    for index, plane in enumerate(message.planes):
        rows, _ = row.plane_shape(index, fmt.width, fmt.height)
        span = plane.stride * (rows - 1) + row.row_bytes(index, fmt.width)
        buffers.append((plane_bytes(slot, plane.offset, span, row.dtype.itemsize), plane.stride))
    return buffers


def packet_value(message: pb.Packet) -> Packet:
    """A packet message as a packet."""
    return Packet(
        message.data,
        message.pts if message.HasField("pts") else None,
        message.dts if message.HasField("dts") else None,
        message.duration if message.HasField("duration") else None,
        message.is_keyframe,
        message.new_extradata,
    )


def format_of(frame: Frame) -> FrameFormat:
    return FrameFormat(frame.format, frame.width, frame.height, frame.color, frame.sample_aspect_ratio, frame.rotation)


def format_message(frame: Frame) -> pb.VideoFormat:
    """Return the message for a frame's format."""
    color = frame.color
    return pb.VideoFormat(
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        color=pb.Color(
            range=int(color.range),  # type: ignore[arg-type]  # the two enums share FFmpeg's numbers
            primaries=color.primaries,
            transfer=color.transfer,
            matrix=color.matrix,
            chroma_location=int(color.chroma_location),  # type: ignore[arg-type]
        ),
        sample_aspect_ratio=ratio_message(frame.sample_aspect_ratio),
        rotation=frame.rotation,
    )


def fill_frame(message: pb.Frame, frame: Frame, result: Result) -> int:
    """Write the frame of a result into an empty message, and return its payload bytes. Padding of rows is left out.

    Where the result has a placement, the message only says where in shared memory the planes lie.

    The message is in its place already: protobuf copies a message, planes and all, that is put into another.
    """
    message.sequence, message.model = result.sequence, result.model
    if frame.pts is not None:
        message.pts = frame.pts
    if frame.duration is not None:
        message.duration = frame.duration
    message.interlaced, message.corrupt = frame.interlaced, frame.corrupt
    _fill_stages(message.stages, result.stages)
    if result.source is not None:
        message.source_quantizer, message.source_downscaler = result.source.quantizer, result.source.downscaler
    if result.placement is None:
        for plane in frame.planes:
            message.planes.add(data=plane.tobytes(), stride=plane.shape[1] * plane.itemsize)
    else:
        message.slot.index = result.placement.slot
        for offset, stride in result.placement.planes:
            message.planes.add(offset=offset, stride=stride)
    return sum(plane.nbytes for plane in frame.planes)


def packet_message(packet: Packet, result: Result) -> tuple[pb.Packet, int]:
    """The packet of a result as a message, and its payload bytes."""
    message = pb.Packet(
        sequence=result.sequence,
        pts=packet.pts,
        dts=packet.dts,
        duration=packet.duration,
        is_keyframe=packet.is_keyframe,
        data=packet.data,
        new_extradata=packet.new_extradata,
        stages=stages_message(result.stages),
        model=result.model,
        source_quantizer=result.source.quantizer if result.source else None,
        source_downscaler=result.source.downscaler if result.source else "",
    )
    return message, len(packet.data)


def dropped_message(dropped: Dropped, sequence: int) -> pb.Dropped:
    """The answer to a frame that was not upscaled."""
    reason: pb.DropReason = dropped.reason.value  # type: ignore[assignment]  # the two enums share their numbers
    return pb.Dropped(sequence=sequence, pts=dropped.pts, reason=reason)


def stages_message(stages: StageSeconds) -> pb.StageSeconds:
    message = pb.StageSeconds()
    _fill_stages(message, stages)
    return message


def _fill_stages(message: pb.StageSeconds, stages: StageSeconds) -> None:
    message.decode, message.queue, message.encode = stages.decode, stages.queue, stages.encode
    message.luma, message.chroma = stages.luma, stages.chroma


def statistics_message(statistics: StreamStatistics, elapsed_s: float) -> pb.StreamStatistics:
    """Return the statistics of a stream that ended well."""
    return pb.StreamStatistics(
        frames_in=statistics.frames_in,
        frames_out=statistics.frames_out,
        frames_dropped=statistics.frames_dropped,
        frames_failed=statistics.frames_in - statistics.frames_out - statistics.frames_dropped,
        model_switches=statistics.model_switches,
        packets_in=statistics.packets_in,
        packets_out=statistics.packets_out,
        packets_skipped=statistics.packets_skipped,
        elapsed_s=elapsed_s,
        stages=stages_message(statistics.stages),
    )


def output_format(given: pb.VideoFormat, scale: int) -> pb.VideoFormat:
    """The format of a stream's output, as far as its input is known."""
    upscaled = pb.VideoFormat()
    upscaled.CopyFrom(given)
    upscaled.width, upscaled.height = given.width * scale, given.height * scale
    return upscaled


def model_message(entry: ModelEntry) -> pb.ModelInfo:
    spec = entry.spec
    return pb.ModelInfo(
        model=entry.name,
        # Own weights have one name, whichever network they are of.
        alias=(spec.alias or "") if entry.source.path is None else "",
        paper_id=spec.paper_id,
        family=spec.family,
        scale=spec.scale,
        parameters=spec.parameters,
        macs_per_pixel=spec.macs,
        psnr_db=entry.card.psnr,
        backend=entry.backend,
        loaded=entry.loaded,
        seconds_per_frame=entry.cost.frame_s if entry.cost else 0.0,
        seconds_per_pixel=entry.cost.pixel_s if entry.cost else 0.0,
        network=spec.canonical_id,
        weights_sha256=entry.source.weights_sha256,
        card=pb.ModelCard(
            recipe=entry.card.recipe, data=entry.card.data, licence=entry.card.licence, date=entry.card.date
        ),
        nodes=[pb.WeightsNode(quantizer=node.quantizer, downscaler=node.downscaler) for node in sorted(entry.nodes)],
    )
