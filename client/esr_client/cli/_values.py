"""Values of options, read from text."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)")
_SIZE = re.compile(r"(\d+)x(\d+)")


def parse_time(text: str) -> Fraction:
    """Return seconds.

    Raises:
        ValueError: the text is neither seconds nor [HH:]MM:SS.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"a time is seconds or [HH:]MM:SS, such as 90, 1.5 or 0:01:30, not {text!r}")
    hours, minutes, seconds = match.groups()
    return 3600 * Fraction(hours or 0) + 60 * Fraction(minutes or 0) + Fraction(seconds)


def parse_model(text: str | None, server: str | None) -> tuple[str | None, str | None]:
    """Return the model's name, and NAME=FILE if that was given: own weights for a private server to load.

    Raises:
        ValueError: the name or the file is missing, or a running `server` is used, which cannot be handed weights.
    """
    if text is None:
        return None, None
    name, has_file, file = text.partition("=")
    if not has_file and Path(text).suffix == ".safetensors":
        raise ValueError(f"give the weights a name: --model {Path(text).stem}={text}")
    if not has_file:
        return name, None
    if not name or not file:
        raise ValueError(f"--model is NAME or NAME=FILE.safetensors, not {text!r}")
    if server is not None:
        raise ValueError(
            f"the server at {server} loads its own models: start it with `esr-serve --model {text}`, "
            f"and give --model {name} here"
        )
    if not Path(file).is_file():
        raise ValueError(f"there is no weights file {file}")
    return name, text


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height.

    Raises:
        ValueError: the text is not WIDTHxHEIGHT.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or 0 in (int(match[1]), int(match[2])):
        raise ValueError(f"a size is WIDTHxHEIGHT, such as 1920x1080, not {text!r}")
    return int(match[1]), int(match[2])


def parse_ratio(text: str) -> Fraction:
    """Return a number above 0.

    Raises:
        ValueError: the text is neither a number nor a fraction.
    """
    try:
        value = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise ValueError(f"a number above 0 is expected, such as 1.5 or 30000/1001, not {text!r}")
    return value
