"""Frames, packets, settings and errors as JSON, and back. Values that come from a codec's process are checked here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction

from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.limits import CODE_POINT_MAX, INT64_MAX
from esr_media.packet import Packet
from esr_server.codecs.channel import Head
from esr_upscale import errors
from esr_upscale.errors import EngineError, UpscaleError
from esr_upscale.frame import Frame, KeyFrame, pixel_format, planes_from_buffers
from esr_upscale.media.decode import DECODERS, DecoderSettings
from esr_upscale.media.encode import EncoderSettings

_ERRORS: dict[str, type[UpscaleError]] = {
    kind.__name__: kind
    for kind in (
        errors.InvalidInputError,
        errors.FrameError,
        errors.UnsupportedFormatError,
        errors.InterlacedError,
        errors.CodecOptionError,
        errors.FormatChangeError,
        errors.LimitError,
        errors.MediaDataError,
        errors.EngineError,
    )
}
"""What a codec raises on purpose."""

_MOST_MESSAGE = 500
"""Letters of an error that come from a codec's process."""

Places = Sequence[tuple[int, int]]
"""Of each plane: its offset and its stride in bytes."""


def packet_to(packet: Packet) -> Head:
    """Return all of a packet but its data."""
    return {
        "pts": packet.pts,
        "dts": packet.dts,
        "duration": packet.duration,
        "key": packet.is_keyframe,
        "extradata": _text(packet.new_extradata),
    }


def packet_from(head: Head, data: bytes) -> Packet:
    """Return the packet of `head` and `data`."""
    pts, dts, duration = (_int64(head[name]) for name in ("pts", "dts", "duration"))
    return Packet(data, pts, dts, duration, bool(head["key"]), _bytes(head["extradata"]))


def frame_to(frame: Frame, places: Places) -> Head:
    """Return all of a frame but its samples, and where its planes lie."""
    color = frame.color
    return {
        "format": frame.format.name,
        "size": (frame.width, frame.height),
        "planes": places,
        "pts": frame.pts,
        "duration": frame.duration,
        "time_base": _pair(frame.time_base),
        "color": (int(color.range), color.primaries, color.transfer, color.matrix, int(color.chroma_location)),
        "sar": _pair(frame.sample_aspect_ratio),
        "rotation": frame.rotation,
        "flags": (frame.interlaced, frame.corrupt),
        "key": (frame.key.codec, frame.key.bits) if frame.key else None,
    }


def frame_from(head: Head, memory: memoryview) -> Frame:
    """View the frame whose planes lie in `memory`, without a copy.

    Raises:
        UpscaleError: the planes do not fit the format, the size or the memory.
    """
    fmt = pixel_format(head["format"])
    width, height = head["size"]
    buffers = []
    for index, (offset, stride) in enumerate(head["planes"]):
        rows, row_bytes = fmt.plane_shape(index, width, height)[0], fmt.row_bytes(index, width)
        end = offset + stride * (rows - 1) + row_bytes
        if offset < 0 or stride < row_bytes or end > len(memory):
            raise errors.FrameError(f"plane {index} does not lie in its memory of {len(memory)} bytes")
        buffers.append((memory[offset:end], stride))
    color_range, primaries, transfer, matrix, location = (_within(point, CODE_POINT_MAX) for point in head["color"])
    key = head["key"] and KeyFrame(_one_of(DECODERS, head["key"][0]), _within(head["key"][1], INT64_MAX))
    time_base = _fraction(head["time_base"])
    if time_base is None:
        raise errors.FrameError("a frame must have a time base")
    interlaced, corrupt = head["flags"]
    return Frame(
        fmt,
        width,
        height,
        planes_from_buffers(fmt, width, height, buffers),
        _int64(head["pts"]),
        _int64(head["duration"]),
        time_base,
        Color(ColorRange(color_range), primaries, transfer, matrix, ChromaLocation(location)),
        _fraction(head["sar"]),
        _int64(head["rotation"]) or 0,
        bool(interlaced),
        bool(corrupt),
        key or None,
    )


def decoder_to(settings: DecoderSettings, deinterlace: str) -> Head:
    """Return the settings as JSON; a field that JSON cannot hold raises when they are sent."""
    color = settings.color
    return asdict(settings) | {
        "time_base": _pair(settings.time_base),
        "extradata": _text(settings.extradata),
        "color": color
        and (int(color.range), color.primaries, color.transfer, color.matrix, int(color.chroma_location)),
        "sample_aspect_ratio": _pair(settings.sample_aspect_ratio),
        "deinterlace": deinterlace,
    }


def decoder_from(head: Head) -> tuple[DecoderSettings, str]:
    """Return a decoder's settings, and the name of its deinterlacer."""
    fields = dict(head)
    deinterlace = fields.pop("deinterlace")
    if fields["color"]:
        color_range, primaries, transfer, matrix, location = fields["color"]
        fields["color"] = Color(ColorRange(color_range), primaries, transfer, matrix, ChromaLocation(location))
    fields["time_base"] = _fraction(fields["time_base"])
    fields["sample_aspect_ratio"] = _fraction(fields["sample_aspect_ratio"])
    fields["extradata"] = _bytes(fields["extradata"])
    return DecoderSettings(**fields), deinterlace


def encoder_to(settings: EncoderSettings) -> Head:
    return asdict(settings) | {"frame_rate": _pair(settings.frame_rate), "time_base": _pair(settings.time_base)}


def encoder_from(head: Head) -> EncoderSettings:
    fields = {"frame_rate": _fraction(head["frame_rate"]), "time_base": _fraction(head["time_base"])}
    return EncoderSettings(**head | fields)


def error_to(error: UpscaleError) -> Head:
    """Return an error by its class and message."""
    return {"error": type(error).__name__, "message": str(error)}


def error_from(head: Head) -> UpscaleError:
    """Return the error of `head`; one of an unknown class is an EngineError."""
    return _ERRORS.get(head["error"], EngineError)(str(head["message"])[:_MOST_MESSAGE])


def _int64(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or abs(value) > INT64_MAX):
        raise errors.FrameError(f"{value!r} is no number of 64 bits"[:_MOST_MESSAGE])
    return value


def _within(value: object, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise errors.FrameError(f"a number must be from 0 to {most}")
    return value


def _one_of(names: Sequence[str], value: object) -> str:
    if value not in names:
        raise errors.FrameError(f"a name must be one of {', '.join(names)}")
    return str(value)


def _pair(value: Fraction | None) -> tuple[int, int] | None:
    return None if value is None else (value.numerator, value.denominator)


def _fraction(pair: Sequence[int] | None) -> Fraction | None:
    return None if pair is None else Fraction(pair[0], pair[1])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
