"""The allow-list of encoders and of their options.

Only options that set quality, rate, speed, structure or compatibility are here. The ones that take further options in a
string (x264-params and its like) or name a file (stats, passlogfile) are not, because what they allow cannot be listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from esr_media.limits import INT32_MAX, INT64_MAX
from esr_upscale.errors import CodecOptionError, FrameError


@dataclass(frozen=True, slots=True)
class Values:
    """The values that an option takes: a test, and the words for it."""

    says: str
    accepts: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """One encoder.

    `even`: where chroma is subsampled, the size must be a multiple of the subsampling. `reorders`: packets come in
    another order than frames. `min_side`: the least width and height. `max_frame_rate` is the largest hint that it
    takes, in frames per second. `fixed` are options that every stream gets.
    """

    name: str
    options: Mapping[str, Values]
    even: bool
    reorders: bool
    min_side: int = 1
    fixed: Mapping[str, str] = field(default_factory=dict)
    max_frame_rate: int = 1000
    default_g: int | None = None
    """Largest distance of keyframes without `g`, where `keyint_min` may not be above it; None where it may."""
    min_time_base: Fraction = Fraction(1, INT32_MAX)
    max_time_base: Fraction = Fraction(INT32_MAX)
    ticks_per_s: int | None = None
    """Unit in which the encoder counts from the first pts on, in int64; None: it keeps the time base."""


def _number(low: float, high: float) -> Values:
    return Values(f"a number from {low:g} to {high:g}", lambda text: low <= _parse_number(float, text) <= high)


def _integer(low: int, high: int, why: str = "") -> Values:
    return Values(f"a whole number from {low} to {high}{why}", lambda text: low <= _parse_number(int, text) <= high)


def _parse_number(kind: Callable[[str], float], text: str) -> float:
    # float and int also read "1_000", " 1" and other scripts' digits, which FFmpeg does not. NaN is in no range.
    if not re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?", text):
        return float("nan")
    try:
        return kind(text)
    except ValueError:
        return float("nan")


def _one_of(names: str) -> Values:
    values = tuple(names.split())
    return Values(f"one of {', '.join(values)}", lambda text: text in values)


def _is_bitrate(text: str) -> bool:
    number = re.fullmatch(r"([0-9]{1,10}(?:\.[0-9]{1,3})?)([kM]?)", text)
    return number is not None and float(number[1]) * _MULTIPLES[number[2]] <= INT32_MAX


_MULTIPLES = {"": 1, "k": 1000, "M": 1_000_000}
_BITRATE = Values(f"bits or bits per second up to {INT32_MAX}, such as 4000000, 4000k or 4M", _is_bitrate)
_SWITCH = _integer(0, 1)

_RATE = {"b": _BITRATE, "maxrate": _BITRATE, "bufsize": _BITRATE, "g": _integer(0, 100_000), "threads": _integer(1, 64)}
_STRUCTURE = {"keyint_min": _integer(0, 100_000), "bf": _integer(0, 16), "refs": _integer(1, 16)}

_X26X_PRESETS = "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo"
_H264_LEVELS = "1 1b 1.1 1.2 1.3 2 2.1 2.2 3 3.1 3.2 4 4.1 4.2 5 5.1 5.2 6 6.1 6.2"

_X264 = {
    **_RATE,
    **_STRUCTURE,
    "crf": _number(0, 51),
    "qp": _integer(0, 63),
    "preset": _one_of(_X26X_PRESETS),
    "tune": _one_of("film animation grain stillimage psnr ssim fastdecode zerolatency"),
    "profile": _one_of("baseline main high high10 high422 high444"),
    "level": _one_of(_H264_LEVELS),
    "rc-lookahead": _integer(0, 250),
    "aq-mode": _integer(0, 3),
    "aq-strength": _number(0, 3),
    "sc_threshold": _integer(0, 100),
    "b_strategy": _integer(0, 2),
    "b-pyramid": _one_of("none strict normal"),
    "weightp": _integer(0, 2),
    "mbtree": _SWITCH,
    "forced-idr": _SWITCH,
    "aud": _SWITCH,
}
_X265 = {
    **_RATE,
    # Of its frame threads; it refuses more.
    "threads": _integer(1, 16),
    **_STRUCTURE,
    "crf": _number(0, 51),
    "qp": _integer(0, 51),
    "preset": _one_of(_X26X_PRESETS),
    "tune": _one_of("psnr ssim grain zerolatency fastdecode animation"),
    "profile": _one_of("main main10 main-intra main422-10 main444-8 main444-10"),
    "forced-idr": _SWITCH,
}
_SVT_AV1 = {
    **_RATE,
    "crf": _integer(0, 63),
    "qp": _integer(1, 63),
    # A picture of 1080p takes half a second or more at presets 1, 0 and −1.
    "preset": _integer(2, 13, " (lower ones are too slow for a stream)"),
}
_VP9 = {
    **_RATE,
    "minrate": _BITRATE,
    "keyint_min": _integer(0, 100_000),
    "crf": _integer(0, 63),
    "qmin": _integer(0, 63),
    "qmax": _integer(0, 63),
    "deadline": _one_of("best good realtime"),
    "cpu-used": _integer(-8, 8),
    "lag-in-frames": _integer(0, 25),
    "auto-alt-ref": _integer(0, 6),
    "row-mt": _SWITCH,
    "tile-columns": _integer(0, 6),
    "tile-rows": _integer(0, 2),
    "frame-parallel": _SWITCH,
    "lossless": _SWITCH,
    "aq-mode": _integer(0, 4),
    "tune-content": _one_of("default screen film"),
}

# x265 4 and SVT-AV1 4.1 write past the end of their buffers for small pictures (widths up to 48; 16x16), and take the
# process with them. This size has a margin.
_SAFE_SIDE = 64

_ROWS = (
    EncoderRow("libx264", _X264, even=True, reorders=True),
    # x265 writes to stderr past FFmpeg's log, unless this option says not to.
    EncoderRow(
        "libx265",
        _X265,
        even=True,
        reorders=True,
        min_side=_SAFE_SIDE,
        fixed={"x265-params": "log-level=none"},
        default_g=250,
    ),
    EncoderRow("libsvtav1", _SVT_AV1, even=False, reorders=False, min_side=_SAFE_SIDE, max_frame_rate=240),
    EncoderRow(
        "libvpx-vp9",
        _VP9,
        even=False,
        reorders=False,
        min_time_base=Fraction(1, 10**9),
        max_time_base=Fraction(1),
        ticks_per_s=10**7,
    ),
)

ENCODERS = {row.name: row for row in _ROWS}
"""The encoders by FFmpeg's name."""


def encoder_row(codec: str) -> EncoderRow:
    """Look up an encoder.

    Raises:
        CodecOptionError: it is not on the allow-list, which the message gives.
    """
    if codec not in ENCODERS:
        raise CodecOptionError(f"encoder {codec!r} is not supported; choose one of {', '.join(ENCODERS)}")
    return ENCODERS[codec]


def check_options(row: EncoderRow, options: Mapping[str, str]) -> None:
    """Check the names and values of options.

    Raises:
        CodecOptionError: a name is not on the encoder's list, a value is not one that the option takes, or two do not
            go together.
    """
    for name, value in options.items():
        if name not in row.options:
            raise CodecOptionError(f"{row.name} has no option {name!r} here; it has: {', '.join(sorted(row.options))}")
        if not row.options[name].accepts(value):
            raise CodecOptionError(f"option {name!r} of {row.name} is {row.options[name].says}, not {value!r}")
    if row.default_g is not None and "keyint_min" in options:
        # x265 4 reads past the end of its lookahead, and takes the process with it.
        most = int(options.get("g", row.default_g))
        if int(options["keyint_min"]) > most:
            raise CodecOptionError(
                f"option 'keyint_min' of {row.name} is at most 'g', the largest distance of keyframes, {most} here, "
                f"not {options['keyint_min']}"
            )


def check_time_base(row: EncoderRow, time_base: Fraction) -> None:
    """Check the time base of frames.

    Raises:
        CodecOptionError: the encoder cannot count in it.
    """
    # libvpx looks at the denominator itself.
    is_fine_enough = time_base.denominator <= 1 / row.min_time_base
    if not (is_fine_enough and row.min_time_base <= time_base <= row.max_time_base):
        raise CodecOptionError(
            f"{row.name} takes time bases from {row.min_time_base} to {row.max_time_base} s with a denominator up to "
            f"{1 / row.min_time_base}, not {time_base}; choose one such as 1/90000"
        )


def check_span(row: EncoderRow, index: int, ticks: int, time_base: Fraction) -> None:
    """Check the time from the first frame to frame number `index`, in units of `time_base`.

    Raises:
        FrameError: the encoder cannot count so far.
    """
    if row.ticks_per_s is None:
        return
    # It multiplies before it divides, and adds the length of a frame, which is at most INT32_MAX.
    most = INT64_MAX // (row.ticks_per_s * time_base).numerator - INT32_MAX
    if ticks > most:
        raise FrameError(
            f"frame {index} comes {ticks} units of {time_base} s after the first; {row.name} counts up to {most}, "
            "send pts that are nearer to each other"
        )
