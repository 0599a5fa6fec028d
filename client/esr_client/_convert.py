"""The one file that speaks both protobuf and the values of this package."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._config import RawInput, RawOutput, StreamConfig, VideoFormat
from esr_client._delivery import Delivery, DeliveryPolicy, Dropped, DropReason
from esr_client._errors import ContractError, FrameError
from esr_client._frame import Frame, Packet, StageSeconds, pixel_format
from esr_client._results import ModelCard, ModelInfo, Negotiated, StreamStatistics, WeightsNode
from esr_client._shared_memory import Offer, SlotPlanes
from esr_media.color import UNSPECIFIED, ChromaLocation, Color, ColorRange
from esr_media.formats import plane_from_buffer

_INT32_MAX = 2**31 - 1
_FRAMES_PER_RESPONSE = 4

# ---- values -----------------------------------------------------------------------------------------------------


def rational(value: Fraction | None) -> pb.Rational | None:
    """Return a ratio on the wire; None stays out of the message.

    Raises:
        FrameError: it does not fit into 32 bits.
    """
    if value is None:
        return None
    if abs(value.numerator) > _INT32_MAX or value.denominator > _INT32_MAX:
        raise FrameError(f"the ratio {value} does not fit into 32 bits")
    return pb.Rational(num=value.numerator, den=value.denominator)


def fraction(message: pb.Rational) -> Fraction | None:
    """Return a ratio from the wire; None is unknown: one that is not positive."""
    return Fraction(message.num, message.den) if message.num > 0 and message.den > 0 else None


def _color_to(color: Color) -> pb.Color:
    return pb.Color(
        range=pb.ColorRange.Name(color.range),
        primaries=color.primaries,
        transfer=color.transfer,
        matrix=color.matrix,
        chroma_location=pb.ChromaLocation.Name(color.chroma_location),
    )


def _color_from(message: pb.Color) -> Color:
    return Color(
        range=ColorRange(message.range),
        primaries=message.primaries or UNSPECIFIED,
        transfer=message.transfer or UNSPECIFIED,
        matrix=message.matrix or UNSPECIFIED,
        chroma_location=ChromaLocation(message.chroma_location),
    )


def format_to(value: VideoFormat) -> pb.VideoFormat:
    return pb.VideoFormat(
        width=value.width,
        height=value.height,
        pixel_format=value.pixel_format,
        color=_color_to(value.color),
        sample_aspect_ratio=rational(value.sample_aspect_ratio),
        rotation=value.rotation,
    )


def format_from(message: pb.VideoFormat) -> VideoFormat:
    return VideoFormat(
        width=message.width,
        height=message.height,
        pixel_format=message.pixel_format,
        color=_color_from(message.color),
        sample_aspect_ratio=fraction(message.sample_aspect_ratio),
        rotation=message.rotation,
    )


def _stages_from(message: pb.StageSeconds) -> StageSeconds:
    return StageSeconds(message.decode, message.queue, message.luma, message.chroma, message.encode)


def format_of(frame: Frame) -> VideoFormat:
    return VideoFormat(
        width=frame.width,
        height=frame.height,
        pixel_format=frame.pixel_format,
        color=frame.color,
        sample_aspect_ratio=frame.sample_aspect_ratio,
        rotation=frame.rotation,
    )


# ---- config -----------------------------------------------------------------------------------------------------


def config_request(config: StreamConfig, offer: Offer | None = None) -> pb.UpscaleRequest:
    """Return the first request of a stream."""
    delivery = config.delivery
    message = pb.UpscaleConfig(
        model=config.model,
        deinterlace=config.deinterlace,
        delivery=pb.Delivery(policy=_POLICIES[delivery.policy], deadline_s=delivery.deadline_s or 0.0),
        ladder=config.ladder,
        target_fps=rational(config.target_fps),
        source_quality=source_quality_to(config.source_quality),
    )
    source, sink = config.input, config.output
    if isinstance(source, RawInput):
        message.raw_input.CopyFrom(pb.RawInput(format=format_to(source.format), time_base=rational(source.time_base)))
    else:
        encoded_input = pb.EncodedInput(
            codec=source.codec,
            extradata=source.extradata,
            time_base=rational(source.time_base),
            format=format_to(source.format),
            skip_undecodable=source.skip_undecodable,
        )
        message.encoded_input.CopyFrom(encoded_input)
    if isinstance(sink, RawOutput):
        message.raw_output.SetInParent()
    else:
        rate = rational(sink.frame_rate)
        message.encoded_output.CopyFrom(
            pb.EncodedOutput(codec=sink.codec, options=sink.options, frame_rate=rate, global_header=sink.global_header)
        )
    request = pb.UpscaleRequest(config=message)
    if offer is not None:
        request.config.shared_memory.CopyFrom(_offer_to(offer))
        request.config.frames_per_response = _FRAMES_PER_RESPONSE
    return request


def source_quality_to(quantizer: float | None) -> pb.SourceQuality | None:
    """Return the message for a known source quality."""
    return None if quantizer is None else pb.SourceQuality(quantizer=quantizer)


def _offer_to(offer: Offer) -> pb.SharedMemory:
    return pb.SharedMemory(
        pid=offer.pid,
        fd=offer.fd,
        name=offer.name,
        input_slots=offer.layout.input_slots,
        input_slot_bytes=offer.layout.input_slot_bytes,
        output_slots=offer.layout.output_slots,
        output_slot_bytes=offer.layout.output_slot_bytes,
    )


# ---- delivery ---------------------------------------------------------------------------------------------------

_POLICIES = {
    DeliveryPolicy.LOSSLESS: pb.DELIVERY_POLICY_LOSSLESS,
    DeliveryPolicy.LATEST: pb.DELIVERY_POLICY_LATEST,
    DeliveryPolicy.DEADLINE: pb.DELIVERY_POLICY_DEADLINE,
}
_POLICIES_BACK = {there: here for here, there in _POLICIES.items()} | {
    pb.DELIVERY_POLICY_UNSPECIFIED: DeliveryPolicy.LOSSLESS
}
_REASONS = {pb.DROP_REASON_SUPERSEDED: DropReason.SUPERSEDED, pb.DROP_REASON_LATE: DropReason.LATE}


def dropped_from(message: pb.Dropped) -> Dropped:
    """Return the answer to a frame that was not upscaled.

    Raises:
        ContractError: it does not say why.
    """
    if message.reason not in _REASONS:
        raise ContractError(f"the server dropped frame {message.sequence} for a reason that is not in the contract")
    pts = message.pts if message.HasField("pts") else None
    return Dropped(message.sequence, pts, _REASONS[message.reason])


# ---- frames and packets -----------------------------------------------------------------------------------------


def fill_frame(
    message: pb.Frame,
    frame: Frame,
    sequence: int = 0,
    stream_format: VideoFormat | None = None,
    slot: SlotPlanes | None = None,
) -> None:
    """Write a frame into an empty message. Its format goes along unless it is `stream_format`, the last one sent.

    If the frame lies in a `slot` of shared memory, its planes only say where.

    The message is in its place already: protobuf copies a message, planes and all, that is put into another.
    """
    message.sequence = sequence
    if frame.pts is not None:
        message.pts = frame.pts
    if frame.duration is not None:
        message.duration = frame.duration
    message.interlaced, message.corrupt = frame.interlaced, frame.corrupt
    frame_format = format_of(frame)
    if frame_format != stream_format:
        message.format.CopyFrom(format_to(frame_format))
    strides = [plane.shape[1] * plane.itemsize for plane in frame.planes]
    if slot is None:
        for plane, stride in zip(frame.planes, strides, strict=True):
            message.planes.add(data=plane.tobytes(), stride=stride)  # tobytes() drops the padding of rows
    else:
        message.slot.index = slot.slot
        for offset, stride in zip(slot.offsets, strides, strict=True):
            message.planes.add(offset=offset, stride=stride)


def _planes_from(
    fmt: VideoFormat, planes: Iterable[pb.Plane], slot: NDArray[np.uint8] | None
) -> tuple[NDArray[Any], ...]:
    row, size = pixel_format(fmt.pixel_format), (fmt.width, fmt.height)
    views = list[NDArray[Any]]()
    for index, plane in enumerate(planes):
        rows, _ = row.plane_shape(index, *size)
        data = plane.data if slot is None else slot[plane.offset : plane.offset + rows * plane.stride]
        try:
            views.append(plane_from_buffer(row, index, *size, data, plane.stride))
        except ValueError as error:
            raise FrameError(str(error)) from None
    return tuple(views)


def frame_from(
    message: pb.Frame, fmt: VideoFormat, time_base: Fraction, slot: NDArray[np.uint8] | None = None
) -> Frame:
    """Return a frame from the wire, of format `fmt`; `slot` is the shared memory that it lies in.

    Raises:
        ContractError: its planes do not fit its format.
    """
    try:
        return Frame(
            planes=_planes_from(fmt, message.planes, slot),
            width=fmt.width,
            height=fmt.height,
            pixel_format=fmt.pixel_format,
            pts=message.pts if message.HasField("pts") else None,
            duration=message.duration if message.HasField("duration") else None,
            time_base=time_base,
            color=fmt.color,
            sample_aspect_ratio=fmt.sample_aspect_ratio,
            rotation=fmt.rotation,
            interlaced=message.interlaced,
            corrupt=message.corrupt,
            sequence=message.sequence,
            stages=_stages_from(message.stages),
            model=message.model,
            source_quantizer=message.source_quantizer if message.HasField("source_quantizer") else None,
            source_downscaler=message.source_downscaler,
        )
    except (FrameError, IndexError) as error:
        raise ContractError(f"the server sent a frame that does not fit its format: {error}") from error


def packet_to(packet: Packet, sequence: int) -> pb.Packet:
    return pb.Packet(
        sequence=sequence,
        pts=packet.pts,
        dts=packet.dts,
        duration=packet.duration,
        is_keyframe=packet.is_keyframe,
        data=packet.data,
        new_extradata=packet.new_extradata,
    )


def packet_from(message: pb.Packet) -> Packet:
    return Packet(
        data=message.data,
        pts=message.pts if message.HasField("pts") else None,
        dts=message.dts if message.HasField("dts") else None,
        duration=message.duration if message.HasField("duration") else None,
        is_keyframe=message.is_keyframe,
        new_extradata=message.new_extradata,
        sequence=message.sequence,
        stages=_stages_from(message.stages),
        model=message.model,
        source_quantizer=message.source_quantizer if message.HasField("source_quantizer") else None,
        source_downscaler=message.source_downscaler,
    )


# ---- results ----------------------------------------------------------------------------------------------------


def negotiated_from(message: pb.Negotiated) -> Negotiated:
    """Return the negotiated stream.

    Raises:
        ContractError: it lacks the time base, or has a delivery that is none.
    """
    time_base = fraction(message.time_base)
    if time_base is None:
        raise ContractError("the negotiated stream has no time base")
    try:
        policy = _POLICIES_BACK[message.delivery.policy]
        delivery = Delivery(policy, message.delivery.deadline_s if policy is DeliveryPolicy.DEADLINE else None)
    except (KeyError, ValueError) as error:
        raise ContractError(f"the negotiated stream has an invalid delivery: {error}") from error
    return Negotiated(
        stream_id=message.stream_id,
        model=message.model,
        backend=message.backend,
        scale=message.scale,
        output_format=format_from(message.output_format),
        time_base=time_base,
        delivery=delivery,
        ladder=tuple(message.ladder),
        shared_memory=message.shared_memory,
        shared_memory_refusal=message.shared_memory_refusal,
    )


def statistics_from(message: pb.StreamStatistics) -> StreamStatistics:
    return StreamStatistics(
        frames_in=message.frames_in,
        frames_out=message.frames_out,
        frames_failed=message.frames_failed,
        packets_in=message.packets_in,
        packets_out=message.packets_out,
        packets_skipped=message.packets_skipped,
        elapsed_s=message.elapsed_s,
        stages=_stages_from(message.stages),
        frames_dropped=message.frames_dropped,
        model_switches=message.model_switches,
    )


def model_from(message: pb.ModelInfo) -> ModelInfo:
    """One row of the list of models."""
    return ModelInfo(
        model=message.model,
        alias=message.alias,
        paper_id=message.paper_id,
        family=message.family,
        scale=message.scale,
        parameters=message.parameters,
        macs_per_pixel=message.macs_per_pixel,
        psnr_db=dict(message.psnr_db),
        backend=message.backend,
        loaded=message.loaded,
        seconds_per_frame=message.seconds_per_frame,
        seconds_per_pixel=message.seconds_per_pixel,
        network=message.network,
        weights_sha256=message.weights_sha256,
        card=ModelCard(
            recipe=message.card.recipe, data=message.card.data, licence=message.card.licence, date=message.card.date
        ),
        nodes=tuple(WeightsNode(node.quantizer, node.downscaler) for node in message.nodes),
    )
