"""Tables of codecs: what the server decodes, and how the encoders here want to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av

from esr_client._errors import OutputError
from esr_client._frame import pixel_format

SERVER_DECODES = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "mjpeg"})
"""Codecs whose packets the server takes. Others are decoded here and sent as raw frames."""


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """How one encoder wants to be asked."""

    crf: int
    preset: str
    preset_option: str = "preset"
    even: bool = False
    """Refuses odd sizes of subsampled formats."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    bitstream: str = "matroska"
    """A container in which one packet can be read back with its headers as the encoder wrote them."""
    quiet: Mapping[str, str] = field(default_factory=dict)
    """Keeps its library from writing to the terminal; of no interest to a server."""


ENCODERS = {
    "libx264": EncoderRow(crf=18, preset="medium", even=True, bitstream="h264"),
    "libx265": EncoderRow(
        crf=20, preset="medium", even=True, bitstream="hevc", quiet={"x265-params": "log-level=error"}
    ),
    "libvpx-vp9": EncoderRow(crf=24, preset="4", preset_option="cpu-used", fixed={"b": "0", "row-mt": "1"}),
    "libsvtav1": EncoderRow(crf=24, preset="8"),
}
"""`--codec`, and what becomes of `--crf` and `--preset`."""

_USUAL = {".webm": "libvpx-vp9"}

# Formats that hold the same samples otherwise arranged. yuvj420p is yuv420p with its range in the name.
_EQUALS = {
    "yuvj420p": "yuv420p",
    "nv12": "yuv420p",
    "p010le": "yuv420p10le",
    "rgb24": "gbrp",
    "bgr24": "gbrp",
}


def encoder_row(codec: str) -> EncoderRow:
    """The row of an encoder.

    Raises:
        OutputError: it is none of those in the table.
    """
    if codec not in ENCODERS:
        raise OutputError(f"{codec!r} is no encoder of this client; it has {', '.join(ENCODERS)}")
    return ENCODERS[codec]


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoder and FFmpeg's options for it."""

    codec: str
    options: Mapping[str, str]


def encoding(out: Path, codec: str | None, crf: int | None, preset: str | None) -> Encoding:
    """The encoding for a file; None is the usual value.

    Raises:
        OutputError: there is no such encoder.
    """
    codec = codec or _USUAL.get(out.suffix.lower(), "libx264")
    row = encoder_row(codec)
    chosen = {"crf": str(row.crf if crf is None else crf), row.preset_option: preset or row.preset}
    return Encoding(codec, chosen | dict(row.fixed))


def _takes(codec: str, name: str) -> str | None:
    formats = {fmt.name for fmt in av.Codec(codec, "w").video_formats or ()}
    equal = _EQUALS.get(name)
    wanted = (equal, name) if name.startswith("yuvj") else (name, equal)
    return next((fmt for fmt in wanted if fmt in formats), None)


def encoder_format(codec: str, name: str) -> str:
    """The encoder's format for frames of the format `name`, without a loss.

    Raises:
        OutputError: it has none; the message names the encoders that have.
    """
    found = _takes(codec, name)
    if found is None:
        others = [other for other in ENCODERS if _takes(other, name)]
        hint = f"choose --codec {' or '.join(others)}" if others else "no encoder of this client does"
        raise OutputError(f"{codec} does not take {name} frames; {hint}")
    return found


def check_size(codec: str, name: str, width: int, height: int) -> None:
    """Refuse a size that the encoder would refuse.

    Raises:
        OutputError: the size is odd along a subsampled axis and the encoder wants it even.
    """
    _, shift_x, shift_y = pixel_format(name).planes[-1]
    odd = (width & 1 and shift_x) or (height & 1 and shift_y)
    if odd and encoder_row(codec).even:
        able = [other for other, row in ENCODERS.items() if not row.even and _takes(other, name)]
        raise OutputError(
            f"{codec} cannot encode {name} of the odd size {width}x{height}; choose --codec {' or '.join(able)}"
        )
