"""Conversion between protobuf messages and the server's own values."""

from __future__ import annotations

from fractions import Fraction

from esr_api.v1 import upscaler_pb2 as pb
from esr_media.color import UNSPECIFIED, ChromaLocation, Color, ColorRange
from esr_media.formats import PixelFormat
from esr_media.packet import Packet
from esr_server.models.served import ModelEntry, ServedModel
from esr_server.rpc import numbers
from esr_server.rpc.negotiation import StreamParams, VideoFormat
from esr_server.streaming.delivery import DeliveryPolicy, Dropped
from esr_server.streaming.items import Result, StageSeconds, StreamStatistics
from esr_server.streaming.shared_memory import InlineMemory, plane_bytes
from esr_upscale.errors import FrameError
from esr_upscale.frame import Frame, pixel_format, planes_from_buffers


def ratio_message(ratio: Fraction | None) -> pb.Rational:
    """A ratio as a message; None is "unknown"."""
    return pb.Rational(num=ratio.numerator, den=ratio.denominator) if ratio else pb.Rational()


def color_info(color: pb.Color) -> Color:
    """Read colour tags; what is not set is unspecified, and so is a name that this version does not know.

    Raises:
        ConfigError: a code point that no bitstream can hold.
    """
    return Color(
        ColorRange(color.range),
        numbers.code_point(color.primaries, "primaries") or UNSPECIFIED,
        numbers.code_point(color.transfer, "transfer") or UNSPECIFIED,
        numbers.code_point(color.matrix, "matrix") or UNSPECIFIED,
        ChromaLocation(color.chroma_location),
    )


def format_value(message: pb.VideoFormat) -> VideoFormat:
    """Read a format. Its pixel format need not be one that is known.

    Raises:
        ConfigError: a sample aspect ratio or colour tag that cannot be.
    """
    return VideoFormat(
        message.pixel_format,
        message.width,
        message.height,
        color_info(message.color),
        numbers.known_ratio(message.sample_aspect_ratio, "sample_aspect_ratio", "4/3"),
        message.rotation,
    )


def frame_value(message: pb.Frame, fmt: VideoFormat, time_base: Fraction, memory: InlineMemory) -> tuple[Frame, int]:
    """View a frame message as a frame, without a copy of its planes, and count its payload bytes.

    Raises:
        FrameError: size, planes, stride, place and format do not fit, or a time that cannot be.
        ProtocolError: a slot that is not there.
        UnsupportedFormatError: a pixel format that is not in the table.
    """
    row = pixel_format(fmt.pixel_format)
    buffers: list[tuple[bytes | memoryview, int]]
    if message.HasField("slot"):
        buffers = _slot_buffers(message, fmt, row, memory)
    elif any(plane.offset for plane in message.planes):
        raise FrameError("a plane may have an offset only if its frame has a slot")
    else:
        buffers = [(plane.data, plane.stride) for plane in message.planes]
    frame = Frame(
        row,
        fmt.width,
        fmt.height,
        planes_from_buffers(row, fmt.width, fmt.height, buffers),
        pts=numbers.time_of(message, "pts"),
        duration=numbers.duration_of(message),
        time_base=time_base,
        color=fmt.color,
        sample_aspect_ratio=fmt.sample_aspect_ratio,
        rotation=fmt.rotation,
        interlaced=message.interlaced,
        corrupt=message.corrupt,
    )
    return frame, sum(len(data) for data, _ in buffers)


def _slot_buffers(
    message: pb.Frame, fmt: VideoFormat, row: PixelFormat, memory: InlineMemory
) -> list[tuple[bytes | memoryview, int]]:
    slot = memory.input_slot(message.slot.index)
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
    """Read a packet.

    Raises:
        FrameError: a time that cannot be.
    """
    return Packet(
        message.data,
        numbers.time_of(message, "pts"),
        numbers.time_of(message, "dts"),
        numbers.duration_of(message),
        message.is_keyframe,
        message.new_extradata,
    )


def format_of(frame: Frame) -> VideoFormat:
    """Return the format of a frame."""
    return VideoFormat(
        frame.format.name, frame.width, frame.height, frame.color, frame.sample_aspect_ratio, frame.rotation
    )


def format_message(fmt: VideoFormat) -> pb.VideoFormat:
    """Return the message for a format."""
    color = fmt.color
    return pb.VideoFormat(
        width=fmt.width,
        height=fmt.height,
        pixel_format=fmt.pixel_format,
        color=pb.Color(
            range=int(color.range),  # type: ignore[arg-type]  # the two enums share FFmpeg's numbers
            primaries=color.primaries,
            transfer=color.transfer,
            matrix=color.matrix,
            chroma_location=int(color.chroma_location),  # type: ignore[arg-type]
        ),
        sample_aspect_ratio=ratio_message(fmt.sample_aspect_ratio),
        rotation=fmt.rotation,
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
        frames_failed=statistics.frames_lost,
        model_switches=statistics.model_switches,
        packets_in=statistics.packets_in,
        packets_out=statistics.packets_out,
        packets_skipped=statistics.packets_skipped,
        elapsed_s=elapsed_s,
        stages=stages_message(statistics.stages),
    )


def negotiated_message(stream_id: str, params: StreamParams, first: ServedModel, memory: InlineMemory) -> pb.Negotiated:
    """Return what a stream will be; `first` is the model of its first frame."""
    config = params.config
    deadline = config.delivery.policy is DeliveryPolicy.DEADLINE
    policy: pb.DeliveryPolicy = config.delivery.policy.value  # type: ignore[assignment]  # the enums share their numbers
    return pb.Negotiated(
        stream_id=stream_id,
        model=first.name,
        backend=first.backend,
        scale=first.scale,
        output_format=format_message(config.format.upscaled(first.scale)),
        time_base=ratio_message(config.time_base),
        shared_memory=memory.shared,
        shared_memory_refusal=memory.refusal,
        delivery=pb.Delivery(policy=policy, deadline_s=config.delivery.deadline_s if deadline else 0.0),
        ladder=[model.name for model in params.models] if len(params.models) > 1 else [],
    )


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
