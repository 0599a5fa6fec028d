"""What size a user shader makes of a picture, from the sizes that its passes declare."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from esr_upscale.errors import InvalidInputError

Size: TypeAlias = tuple[float, float]
PICTURE = frozenset({"LUMA", "RGB", "YUV", "NATIVE", "MAINPRESUB", "MAIN", "LINEAR", "SIGMOID", "PREKERNEL"})
"""Stages whose size is that of the picture on its way to the output, as far as luma goes."""
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


def output_size(text: str, size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the size (width, height) of luma after the shader, for a picture of `size` shown at `target`.

    Raises:
        InvalidInputError: the text is no user shader, or it has a size that cannot be computed.
    """
    passes = list(_passes(text))
    if not passes:
        raise InvalidInputError("it has no line //!HOOK, so it is not a user shader")
    picture: Size = size
    saved: dict[str, Size] = {}
    for hooks, directives in passes:
        hooked = picture if hooks & PICTURE else target
        sizes = {**dict.fromkeys(PICTURE, picture), **saved, "HOOKED": hooked, "OUTPUT": target, "NATIVE_CROPPED": size}
        if "WHEN" in directives and not _evaluate(directives["WHEN"], sizes):
            continue
        width, height = directives.get("WIDTH"), directives.get("HEIGHT")
        written = (
            _evaluate(width, sizes) if width else hooked[0],
            _evaluate(height, sizes) if height else hooked[1],
        )
        if "SAVE" in directives and directives["SAVE"] not in hooks:
            saved[directives["SAVE"]] = written
        elif hooks & PICTURE:
            picture = written
    return int(picture[0]), int(picture[1])


def _passes(text: str) -> Iterator[tuple[set[str], dict[str, str]]]:
    # A block of lines //!NAME VALUE, then a body; blocks of textures and parameters hook nothing.
    for block in re.findall(r"(?:^//![^\n]*\n)+", text.replace("\r", "") + "\n", re.MULTILINE):
        words = [line[3:].partition(" ") for line in block.splitlines()]
        hooks = {value.strip() for name, _, value in words if name == "HOOK"}
        if hooks:
            yield hooks, {name: value.strip() for name, _, value in words if name != "HOOK"}


def _evaluate(expression: str, sizes: Mapping[str, Size]) -> float:
    # Reverse Polish notation, as mpv defines it.
    stack: list[float] = []
    try:
        for word in expression.split():
            if word in _OPERATORS:
                right, left = stack.pop(), stack.pop()
                stack.append(float(_OPERATORS[word](left, right)))
            elif word == "!":
                stack.append(float(not stack.pop()))
            else:
                stack.append(_value(word, sizes))
        (result,) = stack
    except (IndexError, KeyError, ValueError, ZeroDivisionError) as error:
        raise InvalidInputError(f"its size {expression!r} cannot be computed") from error
    return result


def _value(word: str, sizes: Mapping[str, Size]) -> float:
    name, _, side = word.rpartition(".")
    if side in ("w", "width"):
        return sizes[name][0]
    if side in ("h", "height"):
        return sizes[name][1]
    return float(word)
