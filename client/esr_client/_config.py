"""Options and configs: small values that hold defaults and check themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from esr_client._delivery import LOSSLESS, Delivery
from esr_media.color import Color

__all__ = ["EncodedInput", "EncodedOutput", "Options", "RawInput", "RawOutput", "StreamConfig", "VideoFormat"]

_LONGEST_KEEPALIVE_S = 86400.0
_RECONNECT_MS = 1000
_LARGEST_PIXEL_BYTES = 6  # yuv444p10le
_SMALLEST_SCALE = 2
_ENVELOPE_BYTES = 64 * 1024  # tags, times, row padding of the widest frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a client's connection to its server."""

    window: int = 8
    """Items that may be on their way to become frames at once: sent, and their answer not yet taken by the caller. Of
    packets there may be more, as many as the decoder has to see before it gives a picture. Where packets come back flow
    control is the bound, because an encoder may hold back any number of frames; and where frames may be dropped,
    because a live source does not wait."""
    max_frame_pixels: int = 4 * 3840 * 2160
    """Pixels of the largest upscaled frame: 4K made twice as large. It sets gRPC's message limits."""
    timeout_s: float | None = 30.0
    """For the calls that are not streams. A stream has its own `timeout_s`, and no default."""
    keepalive_s: float | None = 10.0
    """Seconds of silence, from 1, after which the server is asked for a sign of life. If none comes in as much time
    again, running calls end with `UnavailableError`. None: never ask."""
    shared_memory: bool = True
    """Offer a server on this host memory for raw frames, so that they need not go through messages. Linux only; a
    server that cannot map it says why, and frames go inline."""
    max_scale: int = 4
    """The largest scale that shared memory is made for; larger frames come inline. What no frame touches costs
    nothing."""

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"window must be at least 1, not {self.window}")
        if self.max_frame_pixels < 1:
            raise ValueError(f"max_frame_pixels must be at least 1, not {self.max_frame_pixels}")
        if self.keepalive_s is not None and not 1 <= self.keepalive_s <= _LONGEST_KEEPALIVE_S:
            raise ValueError(f"keepalive_s must be from 1 to {_LONGEST_KEEPALIVE_S:g}, or None, not {self.keepalive_s}")
        if self.max_scale < 1:
            raise ValueError(f"max_scale must be at least 1, not {self.max_scale}")

    @property
    def max_receive_bytes(self) -> int:
        """Return the bytes of the largest response: the largest frame, and its fields."""
        return min(self.max_frame_pixels * _LARGEST_PIXEL_BYTES + _ENVELOPE_BYTES, 2**31 - 1)

    @property
    def max_send_bytes(self) -> int:
        """Return the bytes of the largest request: what the smallest scale makes the largest frame of."""
        pixels = self.max_frame_pixels // _SMALLEST_SCALE**2
        return min(pixels * _LARGEST_PIXEL_BYTES + _ENVELOPE_BYTES, 2**31 - 1)

    def channel_arguments(self) -> list[tuple[str, int]]:
        """Return the arguments of the gRPC channel."""
        keepalive_ms = 2**31 - 1 if self.keepalive_s is None else int(1000 * self.keepalive_s)
        return [
            ("grpc.keepalive_time_ms", keepalive_ms),
            ("grpc.keepalive_timeout_ms", keepalive_ms),
            ("grpc.http2.ping_timeout_ms", keepalive_ms),  # else a minute, whatever the timeout is
            ("grpc.http2.max_pings_without_data", 0),
            # A server that was started again is found within a second. gRPC's own 1 s grows to minutes.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
            ("grpc.max_receive_message_length", self.max_receive_bytes),
            ("grpc.max_send_message_length", self.max_send_bytes),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """Size, pixel format and tags of a stream's pictures."""

    width: int
    height: int
    pixel_format: str
    """FFmpeg's name; empty if unknown."""
    color: Color = field(default_factory=Color)
    sample_aspect_ratio: Fraction | None = None
    rotation: int = 0
    """Degrees counter-clockwise that a player turns the picture by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawInput:
    """Raw frames go in."""

    format: VideoFormat
    time_base: Fraction
    """In seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedInput:
    """Elementary packets go in, as a demuxer gives them."""

    codec: str
    """h264, hevc, vp8, vp9, av1, mpeg2video, mpeg4 or mjpeg."""
    time_base: Fraction
    """In seconds."""
    format: VideoFormat
    """What the container says. Tags that are set here win over the bitstream's."""
    extradata: bytes = field(default=b"", repr=False)
    skip_undecodable: bool = False
    """Go on after a packet that cannot be decoded, instead of ending with `DamagedInputError`."""


@dataclass(frozen=True, slots=True)
class RawOutput:
    """Raw frames come out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedOutput:
    """Packets of an encoder come out."""

    codec: str
    """libx264, libx265, libsvtav1 or libvpx-vp9."""
    options: Mapping[str, str] = field(default_factory=dict)
    """FFmpeg options such as crf and preset."""
    frame_rate: Fraction | None = None
    """A hint for rate control. Times come from pts alone."""
    global_header: bool = True
    """Codec headers in the first packet's `new_extradata` only, as MP4 and Matroska want it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Settings of one stream."""

    model: str = ""
    """An alias (esr_tr_x2), a canonical id (esr_tr_x2_k5_c2), the paper's id (eSR-TR_s2_K5_C2), or "auto": the ladder
    of all models that the server has loaded at its default model's scale ("auto_x3": at ×3). Empty: the server's
    default model, or the ladder's."""
    input: RawInput | EncodedInput
    output: RawOutput | EncodedOutput = RawOutput()
    deinterlace: str = ""
    """How interlaced frames become progressive: "bwdif". Empty: they are refused."""
    delivery: Delivery = LOSSLESS
    """What becomes of frames that come faster than they can be upscaled."""
    ladder: tuple[str, ...] = ()
    """Models of one scale, in any order, of which the best runs whose cost fits."""
    target_fps: Fraction | None = None
    """Frames per second that will be sent, and are wanted back. None: the stream takes what others leave."""
    source_quality: float | None = None
    """How much coding has damaged the source, for models with weights for sources of known quality: the CRF of
    x264 (0 … 51) that damages as much, 0 if it was never coded. None: the server estimates it from the pictures."""

    def __post_init__(self) -> None:
        _check(self.model, self.delivery, self.ladder, self.target_fps, self.source_quality)


def _check(
    model: str,
    delivery: Delivery,
    ladder: Sequence[str],
    target_fps: Fraction | None,
    source_quality: float | None,
) -> None:
    check_source_quality(source_quality)
    if not isinstance(delivery, Delivery):
        constructors = "Delivery.lossless(), Delivery.latest() or Delivery.deadline(seconds)"
        raise ValueError(f"delivery must be {constructors}, not {delivery!r}")
    if isinstance(ladder, str) or not all(ladder):
        raise ValueError(f"a ladder must be a tuple of model names, not {ladder!r}")
    if ladder and model:
        raise ValueError(f"a ladder replaces the model: leave out the ladder or {model!r}")
    if target_fps is not None and target_fps <= 0:
        raise ValueError(f"target_fps must be above 0, not {target_fps}")
    automatic = model == "auto" or model.startswith("auto_x")
    if (ladder or automatic) and target_fps is None:
        raise ValueError(f"{model or 'a ladder'} needs target_fps: the server runs the best model that holds it")


WORST_QUANTIZER = 51.0


def check_source_quality(quantizer: float | None) -> None:
    """Raise ValueError for what is no CRF of x264."""
    if quantizer is not None and not 0 <= quantizer <= WORST_QUANTIZER:
        raise ValueError(
            f"source_quality must be a CRF of x264, from 0 (never coded) to {WORST_QUANTIZER:g}, or None, "
            f"not {quantizer!r}"
        )


# Denominators up to this one hold 24000/1001, 30000/1001 and their kind.
_RATE_DENOMINATOR = 1001


def configs_for(
    *,
    model: str,
    deinterlace: str,
    delivery: Delivery,
    ladder: Sequence[str],
    target_fps: float | Fraction | None,
    source_quality: float | None,
) -> Callable[[RawInput], StreamConfig]:
    """Return a function that makes the config of a stream once its input is known.

    Raises:
        ValueError: the rest is wrong whatever the input; it is said now, and not when the first frame has come.
    """
    rate: Fraction | None
    if target_fps is None or isinstance(target_fps, Fraction):
        rate = target_fps
    elif math.isfinite(target_fps):
        rate = Fraction(target_fps).limit_denominator(_RATE_DENOMINATOR)
    else:
        raise ValueError(f"target_fps must be finite, not {target_fps}")
    _check(model, delivery, ladder, rate, source_quality)
    return lambda raw_input: StreamConfig(
        model=model,
        input=raw_input,
        deinterlace=deinterlace,
        delivery=delivery,
        ladder=tuple(ladder),
        target_fps=rate,
        source_quality=source_quality,
    )
