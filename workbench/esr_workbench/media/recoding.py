"""Luma through a real encoder and decoder, for the workbench: training on, and judging by, what codecs leave."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from esr_media.av_planes import plane_views
from esr_media.formats import pixel_format
from esr_media.scheduling import ordinary_scheduling
from esr_upscale.errors import InvalidInputError
from esr_upscale.media.nal import sei_bytes

_NEUTRAL = 128


@dataclass(frozen=True, slots=True)
class Recoder:
    """An encoder as the workbench uses it, on one thread.

    The same clip nearly always gives the same picture; x264 reads memory that it did not write, and now and then a few
    blocks differ.
    """

    codec: str
    """FFmpeg's name of what it makes."""
    encoder: str
    """FFmpeg's name."""
    quality: str
    """The option that sets the quality: a larger number is a smaller file."""
    best: int
    worst: int
    """The range of `quality` that video in use has."""
    options: Mapping[str, str]
    presets: tuple[Mapping[str, str], ...] = (MappingProxyType({}),)
    """Ways to use it, the usual one first."""
    pixel_format: str = "yuv420p"


def _presets(option: str, *values: str) -> tuple[Mapping[str, str], ...]:
    return tuple(MappingProxyType({option: value}) for value in values)


_VP9 = {"b": "0", "row-mt": "0", "deadline": "good"}
RECODERS: Mapping[str, Recoder] = MappingProxyType(
    {
        "x264": Recoder("h264", "libx264", "crf", 15, 37, {}, _presets("preset", "medium", "veryfast", "slow")),
        "x265": Recoder(
            "hevc", "libx265", "crf", 17, 38, {"x265-params": "log-level=none:pools=none:frame-threads=1"},
            _presets("preset", "fast", "veryfast"),
        ),
        "av1": Recoder("av1", "libsvtav1", "crf", 20, 56, {"svtav1-params": "lp=1"}, _presets("preset", "8", "10")),
        "vp9": Recoder("vp9", "libvpx-vp9", "crf", 20, 52, _VP9, _presets("cpu-used", "4", "6")),
        "vp8": Recoder("vp8", "libvpx", "qscale", 8, 50, {"b": "50M", "deadline": "good", "cpu-used": "4"}),
        "mpeg2": Recoder("mpeg2video", "mpeg2video", "qscale", 2, 12, {"bf": "2"}),
        "mpeg4": Recoder("mpeg4", "mpeg4", "qscale", 2, 14, {"bf": "2"}),
        "mjpeg": Recoder("mjpeg", "mjpeg", "qscale", 2, 12, {}, pixel_format="yuvj420p"),
    }
)  # fmt: skip
"""By the names that people say."""


def recode(luma: NDArray[np.uint8], codec: str, quality: int, preset: int = 0) -> NDArray[np.uint8]:
    """Encode a clip of luma (frames, H, W), with neutral chroma and 25 frames per second, and return it decoded.

    `codec` is one of RECODERS, `preset` the position of one of its presets.

    Raises:
        InvalidInputError: the codec is unknown, or its encoder takes neither this size nor this quality.
    """
    return recode_measured(luma, codec, quality, preset)[0]


def recode_measured(
    luma: NDArray[np.uint8], codec: str, quality: int, preset: int = 0
) -> tuple[NDArray[np.uint8], int]:
    """Recode as `recode` does; return also how many bits the first frame took, a key frame, without SEI.

    Raises:
        InvalidInputError: as `recode`.
    """
    height, width = luma.shape[1:]
    if height % 2 or width % 2:
        raise InvalidInputError(f"a clip to encode must have an even width and height, not {width}x{height}")
    if codec not in RECODERS:
        raise InvalidInputError(f"unknown codec {codec!r}; choose one of {', '.join(RECODERS)}")
    recoder = RECODERS[codec]
    file = io.BytesIO()
    try:
        _encode(luma, recoder, quality, recoder.presets[preset], file)
        file.seek(0)
        with av.open(file, "r") as source:
            context = source.streams.video[0].codec_context
            context.thread_count = 1
            extradata = context.extradata or b""
            packets = list(source.demux(video=0))
            decoded = [frame for packet in packets for frame in packet.decode()]
            frames = [plane_views(frame, pixel_format(frame.format.name))[0] for frame in decoded]
    except FFmpegError as error:
        raise InvalidInputError(
            f"{recoder.encoder} cannot encode {width}x{height} with {recoder.quality} {quality}: {error.strerror}"
        ) from error
    first = min((packet for packet in packets if packet.pts is not None), key=lambda packet: packet.pts or 0)
    no_picture = sei_bytes(recoder.codec, bytes(first), extradata)
    return np.stack(frames), 8 * (first.size - no_picture)


def _encode(
    luma: NDArray[np.uint8], recoder: Recoder, quality: int, preset: Mapping[str, str], file: io.BytesIO
) -> None:
    count, height, width = luma.shape
    with av.open(file, "w", format="matroska") as output:
        options = {**recoder.options, **preset}
        if recoder.quality == "qscale":
            options |= {"qmin": str(quality), "qmax": str(quality)}
        else:
            options[recoder.quality] = str(quality)
        stream: Any = output.add_stream(recoder.encoder, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, recoder.pixel_format
        stream.codec_context.thread_count = 1
        with ordinary_scheduling():
            stream.codec_context.open()
        chroma = np.full((height // 2, width), _NEUTRAL, np.uint8)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.concatenate([luma[index], chroma]), format=recoder.pixel_format)
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
