"""GLSL text: numbers, vectors, and sums of products of matrices with what textures hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS = 4
"""Channels of a texture."""
_MEMBERS = "xyzw"


def number(value: float) -> str:
    """Return a float32 as a literal: the shortest that gives the same float32."""
    return str(np.float32(value))


def type_of(size: int) -> str:
    """Return the type of `size` numbers, 1 to 4."""
    return "float" if size == 1 else f"vec{size}"


def vector(values: NDArray[Any]) -> str:
    """Return one to four numbers as a literal."""
    numbers = ", ".join(number(value) for value in values.tolist())
    return numbers if len(values) == 1 else f"vec{len(values)}({numbers})"


def product(matrix: NDArray[Any], name: str) -> str:
    """Return matrix (rows, columns) times the first `columns` members of the vec4 `name`; a vector of `rows`."""
    rows, columns = matrix.shape
    factor = name if columns == CHANNELS else f"{name}.{_MEMBERS[:columns]}"
    if columns == 1:
        return f"{vector(matrix[:, 0])} * {factor}"
    if rows == 1:
        return f"dot({vector(matrix[0])}, {factor})"
    kind = f"mat{columns}" if rows == columns else f"mat{columns}x{rows}"
    # GLSL takes matrices by columns.
    return f"{kind}({', '.join(number(value) for value in matrix.T.ravel().tolist())}) * {factor}"


def as_vec4(size: int, name: str) -> str:
    """Return a vector of `size` filled up with zeros."""
    return name if size == CHANNELS else f"vec4({', '.join([name] + ['0.0'] * (CHANNELS - size))})"


def positions(name: str, texture: str, margin: int) -> str:
    """Return the statement that sets `name` to where a pass is in `texture`, in pixels of it.

    `margin` is how many pixels the texture reaches past what the pass writes, on each side; less than 0 where the pass
    writes more.
    """
    size = f"({texture}_size {_signed(-2.0 * margin)})" if margin else f"{texture}_size"
    return f"vec2 {name} = floor({texture}_pos * {size}) {_signed(margin + 0.5)};"


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'} {abs(value)}"


def convolutions(filters: dict[str, NDArray[np.float32]], textures: Sequence[str], position: str) -> Iterator[str]:
    """Yield statements that add to each variable its filters, (rows, inputs, K, K), of four inputs from each texture.

    `position` is the variable of the place in the textures. Each is read once for each tap, into the variable `t`; the
    filters may be of several sizes.
    """
    radius = max(weight.shape[-1] for weight in filters.values()) // 2
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            for i, texture in enumerate(textures):
                channels = slice(CHANNELS * i, CHANNELS * (i + 1))
                taps = {}
                for name, weight in filters.items():
                    reach = weight.shape[-1] // 2
                    # A smaller filter has no tap out here.
                    if max(abs(y), abs(x)) <= reach:
                        taps[name] = weight[:, channels, y + reach, x + reach]
                nonzero_taps = {name: tap for name, tap in taps.items() if tap.any()}
                if nonzero_taps:
                    yield f"t = {texture}_tex(({position} + vec2({x}.0, {y}.0)) * {texture}_pt);"
                yield from (f"{name} += {product(tap, 't')};" for name, tap in nonzero_taps.items())
