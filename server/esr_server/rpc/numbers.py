"""Checks of the numbers in messages, against what FFmpeg's fields and arithmetic can hold.

Every number that reaches a codec comes through here: PyAV raises OverflowError for one that is too large for its field,
and FFmpeg wraps around in silence.
"""

from __future__ import annotations

from fractions import Fraction

from esr_api.v1 import upscaler_pb2 as pb
from esr_media.limits import CODE_POINT_MAX, TIME_MAX
from esr_server.errors import ConfigError
from esr_upscale.errors import FrameError


def known_ratio(ratio: pb.Rational, name: str, example: str) -> Fraction | None:
    """Return a ratio, or None for "unknown", where `num` or `den` is 0.

    Raises:
        ConfigError: it is negative.
    """
    if ratio.num == 0 or ratio.den == 0:
        return None
    return positive_ratio(ratio, name, example)


def positive_ratio(ratio: pb.Rational, name: str, example: str) -> Fraction:
    """Return a ratio that must be known.

    Raises:
        ConfigError: `num` or `den` is not positive.
    """
    if ratio.num < 1 or ratio.den < 1:
        raise ConfigError(f"{name} must be a positive ratio, such as {example}, not {ratio.num}/{ratio.den}")
    return Fraction(ratio.num, ratio.den)


def time_of(message: pb.Frame | pb.Packet, name: str) -> int | None:
    """Return the field `name`, a pts or dts; None for "unknown".

    Raises:
        FrameError: it is so large that FFmpeg cannot add to it.
    """
    return _bounded(message, name, -TIME_MAX)


def duration_of(message: pb.Frame | pb.Packet) -> int | None:
    """Return the duration; None for "unknown".

    Raises:
        FrameError: it is negative, or so large that FFmpeg cannot add it to a pts.
    """
    return _bounded(message, "duration", 0)


def code_point(value: int, name: str) -> int:
    """Return a code point of colour.

    Raises:
        ConfigError: it is larger than a byte.
    """
    if value > CODE_POINT_MAX:
        raise ConfigError(
            f"{name} of a colour must be a code point of ITU-T H.273, from 0 to {CODE_POINT_MAX}, not {value}"
        )
    return value


def _bounded(message: pb.Frame | pb.Packet, name: str, least: int) -> int | None:
    if not message.HasField(name):
        return None
    value: int = getattr(message, name)
    if not least <= value <= TIME_MAX:
        kind = type(message).__name__.lower()
        raise FrameError(
            f"{name} of {kind} {message.sequence} must be from {least} to {TIME_MAX}, not {value}; leave it out if it "
            "is unknown"
        )
    return value
