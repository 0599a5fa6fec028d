"""Frames, packets and what describes them, to protobuf and back. With `_convert_stream` all that speaks both."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._config import VideoFormat
from esr_client._errors import ContractError, FrameError
from esr_client._frame import Frame, Packet, StageSeconds, pixel_format
from esr_client._shared_memory import SlotPlanes
from esr_media.color import UNSPECIFIED, ChromaLocation, Color, ColorRange
from esr_media.formats import plane_from_buffer

_INT32_MAX = 2**31 - 1


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


def stages_from(message: pb.StageSeconds) -> StageSeconds:
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
            stages=stages_from(message.stages),
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
        stages=stages_from(message.stages),
        model=message.model,
        source_quantizer=message.source_quantizer if message.HasField("source_quantizer") else None,
        source_downscaler=message.source_downscaler,
    )
