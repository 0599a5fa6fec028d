"""Tables of codecs: what the server decodes, and how the encoders here want to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import av

from esr_client._errors import OutputError
from esr_client._frame import pixel_format
from esr_media.formats import PixelFormat

SERVER_DECODES = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "mjpeg"})
"""Codecs whose packets the server takes. Others are decoded here and sent as raw frames."""


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """Options and limits of one encoder."""

    crf: int | None
    """Default quality; None where the encoder has no such option."""
    preset: str | None
    """Default speed; None where the encoder has no such option."""
    presets: tuple[str, ...] = ()
    """Speeds, by the encoder's own names."""
    preset_option: str = "preset"
    crf_max: int = 51
    even: bool = False
    """Refuses odd sizes of subsampled formats."""
    picture_formats: tuple[str, str] | None = None
    """Of an encoder of single pictures: what it takes, for 8 bits and for more. Frames are converted to it."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    bitstream: str = "matroska"
    """A container in which one packet can be read back with its headers as the encoder wrote them."""
    quiet: Mapping[str, str] = field(default_factory=dict)
    """Keeps its library from writing to the terminal; of no interest to a server."""


_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)

ENCODERS = {
    "libx264": EncoderRow(crf=18, preset="medium", presets=_X26X_PRESETS, even=True, bitstream="h264"),
    "libx265": EncoderRow(
        crf=20,
        preset="medium",
        presets=_X26X_PRESETS,
        even=True,
        bitstream="hevc",
        quiet={"x265-params": "log-level=error"},
    ),
    "libvpx-vp9": EncoderRow(
        crf=24,
        preset="4",
        presets=tuple(str(number) for number in range(9)),
        preset_option="cpu-used",
        crf_max=63,
        fixed={"b": "0", "row-mt": "1"},
    ),
    # Slower presets than 2 take minutes for a second of 1080p.
    "libsvtav1": EncoderRow(crf=24, preset="8", presets=tuple(str(number) for number in range(2, 14)), crf_max=63),
    "rawvideo": EncoderRow(crf=None, preset=None),
    "png": EncoderRow(crf=None, preset=None, picture_formats=("rgb24", "rgb48be")),
    "tiff": EncoderRow(crf=None, preset=None, picture_formats=("rgb24", "rgb48le")),
    "mjpeg": EncoderRow(crf=None, preset=None, fixed={"q": "2"}, picture_formats=("yuvj444p", "yuvj444p")),
}
"""Encoders of `--codec`, with the defaults and bounds of `--crf` and `--preset`."""

CODEC_NAMES = {
    "h264": "libx264",
    "avc": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
}
"""Names of codecs, and the encoder that each one stands for."""

_DEFAULT_CODECS = {"webm": "libvpx-vp9", "yuv4mpegpipe": "rawvideo", "rawvideo": "rawvideo"}

# Formats that hold the same samples otherwise arranged. yuvj420p is yuv420p with its range in the name.
_EQUALS = {
    "yuvj420p": "yuv420p",
    "nv12": "yuv420p",
    "p010le": "yuv420p10le",
    "rgb24": "gbrp",
    "bgr24": "gbrp",
}


_AS_YCBCR = {
    "rgb24": "yuv420p",
    "bgr24": "yuv420p",
    "rgb48le": "yuv420p10le",
    "bgr48le": "yuv420p10le",
    "gray16le": "yuv420p10le",
}
"""What a video encoder gets where it does not take these: the format that every player shows."""


def is_converted(name: str, encoded: str) -> bool:
    """Return whether frames of the format `name` change their colour model or depth to be encoded as `encoded`."""
    return _AS_YCBCR.get(name) == encoded


def encoder_row(codec: str) -> EncoderRow:
    """Return the row of an encoder.

    Raises:
        OutputError: the table has no such encoder.
    """
    if codec not in ENCODERS:
        raise OutputError(f"unknown encoder {codec!r}; choose one of {', '.join((*CODEC_NAMES, *ENCODERS))}")
    return ENCODERS[codec]


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoder and FFmpeg's options for it."""

    codec: str
    options: Mapping[str, str]


def encoding(
    format_name: str,
    codec: str | None,
    crf: int | None,
    preset: str | None,
    *,
    default_codec: str | None = None,
    default_preset: str | None = None,
) -> Encoding:
    """Return the encoder and its options for a container; None stands for the default.

    `default_codec` replaces the container's default, `default_preset` that of encoders that have such a preset.

    Raises:
        OutputError: there is no such encoder, or it does not take this quality or speed.
    """
    name = (
        default_codec or _DEFAULT_CODECS.get(format_name, "libx264") if codec is None else CODEC_NAMES.get(codec, codec)
    )
    row = encoder_row(name)
    options: dict[str, str] = {}
    for option, value, default in (("--crf", crf, row.crf), ("--preset", preset, row.preset)):
        if value is not None and default is None:
            raise OutputError(f"{name} has no {option}")
    if row.crf is not None:
        value = row.crf if crf is None else crf
        if not 0 <= value <= row.crf_max:
            raise OutputError(f"{name} takes --crf 0 (best) to {row.crf_max} (smallest), not {value}")
        options["crf"] = str(value)
    if row.preset is not None:
        usual = default_preset if default_preset in row.presets else row.preset
        value_of_preset = preset or usual
        if value_of_preset not in row.presets:
            *others, last = row.presets
            presets = f"{', '.join(others)} or {last}"
            if last.isdecimal():
                presets = f"{others[0]} (best) to {last} (fastest)"
            raise OutputError(f"{name} takes --preset {presets}, not {preset!r}")
        options[row.preset_option] = value_of_preset
    return Encoding(name, options | dict(row.fixed))


def _lossless_format(codec: str, name: str) -> str | None:
    formats = {fmt.name for fmt in av.Codec(codec, "w").video_formats or ()}
    if not formats:
        return name
    equal = _EQUALS.get(name)
    candidates = (equal, name) if name.startswith("yuvj") else (name, equal)
    return next((fmt for fmt in candidates if fmt in formats), None)


def _supported_format(codec: str, name: str) -> str | None:
    return _lossless_format(codec, name) or _lossless_format(codec, _AS_YCBCR.get(name, name))


def encoder_format(codec: str, name: str) -> str:
    """Return the encoder's format for frames of the format `name`: without a loss, or YCbCr for RGB.

    Raises:
        OutputError: it has none; the message names the codecs that have.
    """
    pictures = encoder_row(codec).picture_formats
    if pictures is not None:
        return pictures[pixel_format(name).dtype.itemsize - 1]
    supported = _supported_format(codec, name)
    if supported is None:
        others = [
            plain_name(other) for other, row in ENCODERS.items() if row.presets and _supported_format(other, name)
        ]
        hint = f"choose --codec {' or '.join(others)}" if others else "no encoder of this client does"
        raise OutputError(f"{codec} does not take {name} frames; {hint}")
    return supported


def plain_name(encoder: str) -> str:
    """Return the name that people say for an encoder: `hevc` for libx265."""
    return next((name for name, of in CODEC_NAMES.items() if of == encoder), encoder)


def is_even_only(codec: str, name: str) -> bool:
    """Return whether an encoder wants an even size along a subsampled axis of frames of the format `name`."""
    chroma = _encoded_shape(codec, name).planes[-1]
    return encoder_row(codec).even and bool(chroma.shift_x or chroma.shift_y)


def _encoded_shape(codec: str, name: str) -> PixelFormat:
    encoded = _supported_format(codec, name)
    return pixel_format(encoded if encoded is not None and is_converted(name, encoded) else name)


def check_size(codec: str, name: str, width: int, height: int) -> None:
    """Refuse a size that the encoder would refuse for frames of the format `name`.

    Raises:
        OutputError: the size is odd along a subsampled axis and the encoder wants it even.
    """
    shape = _encoded_shape(codec, name)
    chroma = shape.planes[-1]
    odd = (width & 1 and chroma.shift_x) or (height & 1 and chroma.shift_y)
    if odd and encoder_row(codec).even:
        rows = ((other, row) for other, row in ENCODERS.items() if row.presets and not row.even)
        able = [plain_name(other) for other, row in rows if _supported_format(other, name)]
        raise OutputError(
            f"{codec} cannot encode {shape.name} of the odd size {width}x{height}; choose --codec {' or '.join(able)}"
        )
