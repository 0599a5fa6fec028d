"""What size a user shader makes of a picture, from the sizes that its passes declare."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from esr_upscale.errors import InvalidInputError

Size: TypeAlias = tuple[float, float]
PICTURE = frozenset({"LUMA", "RGB", "YUV", "NATIVE", "MAINPRESUB", "MAIN", "LINEAR", "SIGMOID", "PREKERNEL"})
"""Stages whose size is that of the picture on its way to the output, as far as luma goes."""
_AXES = {"w": 0, "width": 0, "h": 1, "height": 1}
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
    # A pass is a block of lines //!NAME VALUE, then a body; blocks of textures and parameters hook nothing.
    passes: list[tuple[set[str], dict[str, str]]] = []
    for block in re.findall(r"(?:^//![^\n]*\n)+", text.replace("\r", "") + "\n", re.MULTILINE):
        words = [line[3:].partition(" ") for line in block.splitlines()]
        hooks = {value.strip() for name, _, value in words if name == "HOOK"}
        if hooks:
            passes.append((hooks, {name: value.strip() for name, _, value in words if name != "HOOK"}))
    if not passes:
        raise InvalidInputError("it has no line //!HOOK, so it is not a user shader")
    picture: Size = size
    texture_sizes: dict[str, Size] = {}
    for hooks, directives in passes:
        hook_size = picture if hooks & PICTURE else target
        sizes = {
            **dict.fromkeys(PICTURE, picture),
            **texture_sizes,
            "HOOKED": hook_size,
            "OUTPUT": target,
            "NATIVE_CROPPED": size,
        }
        if "WHEN" in directives and not _evaluate(directives["WHEN"], sizes):
            continue
        width, height = directives.get("WIDTH"), directives.get("HEIGHT")
        output = (
            _evaluate(width, sizes) if width else hook_size[0],
            _evaluate(height, sizes) if height else hook_size[1],
        )
        if "SAVE" in directives and directives["SAVE"] not in hooks:
            texture_sizes[directives["SAVE"]] = output
        elif hooks & PICTURE:
            picture = output
    return int(picture[0]), int(picture[1])


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
                name, _, side = word.rpartition(".")
                axis = _AXES.get(side)
                stack.append(float(word) if axis is None else sizes[name][axis])
        (result,) = stack
    except (IndexError, KeyError, ValueError, ZeroDivisionError) as error:
        raise InvalidInputError(f"its size {expression!r} cannot be computed") from error
    return result
