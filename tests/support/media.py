"""Media made on the spot with real codecs, as a demuxer would hand it over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from esr_api.v1 import upscaler_pb2 as pb
from esr_media.scheduling import ordinary_scheduling

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "mpeg2video": "mpeg2video",
    "mpeg4": "mpeg4",
    "mjpeg": "mjpeg",
}
NATIVE_FORMATS = {"mjpeg": "yuvj420p"}
QUIET = {"libx265": {"x265-params": "log-level=none"}, "libsvtav1": {"preset": "10"}}


@dataclass(frozen=True)
class Elementary:
    """Packets of one stream, in decoding order, and what its container would say of it."""

    codec: str
    packets: tuple[pb.Packet, ...]
    time_base: Fraction
    extradata: bytes = field(repr=False)
    pts: tuple[int, ...]

    def config(self, *, model: str = "bicubic_x2", skip: bool = False, **more: Any) -> pb.UpscaleRequest:
        """The config of a stream of these packets."""
        base = pb.Rational(num=self.time_base.numerator, den=self.time_base.denominator)
        encoded = pb.EncodedInput(codec=self.codec, extradata=self.extradata, time_base=base, skip_undecodable=skip)
        return pb.UpscaleRequest(config=pb.UpscaleConfig(model=model, encoded_input=encoded, **more))

    def requests(self) -> list[pb.UpscaleRequest]:
        """The packets as requests."""
        return [pb.UpscaleRequest(packet=packet) for packet in self.packets]


@ordinary_scheduling()
def encode(
    codec: str = "h264",
    *,
    size: tuple[int, int] = (64, 48),
    pts: Sequence[int] = tuple(range(12)),
    pixel_format: str = "",
    time_base: Fraction = Fraction(1, 25),
    interlaced: bool = False,
    gray: Callable[[int], NDArray[np.uint8]] | None = None,
    **options: str,
) -> Elementary:
    """Encode a moving gradient, or the pictures `gray` by number, with these pts."""
    name = ENCODERS[codec]
    pixel_format = pixel_format or NATIVE_FORMATS.get(codec, "yuv420p")
    context: Any = av.CodecContext.create(name, "w")
    context.width, context.height = size
    context.pix_fmt = pixel_format
    context.time_base, context.framerate = time_base, Fraction(25)
    context.options = {**QUIET.get(name, {}), **options}
    if interlaced:
        context.flags |= av.codec.context.Flags.interlaced_dct
    context.flags |= av.codec.context.Flags.global_header
    draw = gray or partial(_gradient, size)
    av_packets = [packet for i, at in enumerate(pts) for packet in context.encode(_picture(draw(i), pixel_format, at))]
    av_packets += context.encode(None)
    packets = tuple(
        pb.Packet(sequence=i, pts=p.pts, dts=p.dts, is_keyframe=p.is_keyframe, data=bytes(p))
        for i, p in enumerate(av_packets)
    )
    return Elementary(codec, packets, time_base, bytes(context.extradata or b""), tuple(pts))


def _gradient(size: tuple[int, int], index: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[: size[1], : size[0]]
    gray: NDArray[np.uint8] = ((x * 3 + y * 2 + index * 7) % 256).astype(np.uint8)
    return gray


def _picture(gray: NDArray[np.uint8], pixel_format: str, pts: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(gray, "gray").reformat(format=pixel_format)
    frame.pts = pts
    return frame
