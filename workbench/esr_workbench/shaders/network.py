"""Networks as user shaders need them: layers at the input's resolution, then filters of each output phase."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights

Floats = NDArray[np.float32]
SUM = "sum"
"""The variable of an activation."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A convolution whose output stays at the input's resolution, and its activation."""

    weight: Floats
    """(outputs, inputs, K, K)."""
    bias: Floats
    """(outputs,)."""
    activation: str
    """GLSL expression of the variable SUM, a float or a vector."""

    @property
    def radius(self) -> int:
        """Return how many pixels it looks to each side."""
        return int(self.weight.shape[-1]) // 2


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """A response for each output pixel: one filter for each of the s² phases, dy·s + dx."""

    name: str
    """The GLSL variable."""
    weight: Floats
    """(s², inputs, K, K)."""
    bias: Floats
    """(s²,)."""
    is_on_luma: bool = False
    """Whether it filters luma, even if there are layers."""

    @property
    def radius(self) -> int:
        """Return how many pixels it looks to each side."""
        return int(self.weight.shape[-1]) // 2


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network with its weights, ready to be written as passes."""

    layers: tuple[Layer, ...]
    banks: tuple[Bank, ...]
    steps: tuple[str, ...]
    """GLSL statements on the banks' variables; `{type}` stands for their type, a float or a vector."""
    result: str
    """GLSL expression of the output pixels in [0, 1]."""


@dataclass(frozen=True, slots=True)
class ShaderFamily:
    """How a family becomes a network of passes."""

    name: str
    """As in `models/`."""
    build: Callable[[ModelSpec, Weights], Network]


@cache
def shader_families() -> MappingProxyType[str, ShaderFamily]:
    """Return the families with shaders by their names, of each module of this package that has some."""
    package = importlib.import_module("esr_workbench.shaders")
    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    return MappingProxyType({row.name: row for m in modules for row in getattr(m, "FAMILIES", ())})


def bank(name: str, weight: NDArray[Any], bias: NDArray[Any] | None = None, *, is_on_luma: bool = False) -> Bank:
    """Return a bank in float32; without `bias` it has none."""
    zeros = np.zeros(len(weight), np.float32)
    return Bank(name, weight.astype(np.float32), zeros if bias is None else bias.astype(np.float32), is_on_luma)


def attention(keys: list[str]) -> tuple[tuple[str, ...], str]:
    """Return steps and result of Σ value · softmax(key) over the variables v0, v1, …; `keys` are expressions."""
    if len(keys) == 1:
        return (), "v0"
    names = [f"a{c}" for c in range(len(keys))]
    highest = names[0]
    for name in names[1:]:
        highest = f"max({highest}, {name})"
    likeness = ", ".join(f"{name} = {key}" for name, key in zip(names, keys, strict=True))
    exponentials = (f"{name} = exp({name} - highest);" for name in names)
    steps = (f"{{type}} {likeness};", f"{{type}} highest = {highest};", *exponentials)
    weighted = " + ".join(f"v{c} * {name}" for c, name in enumerate(names))
    return steps, f"({weighted}) / ({' + '.join(names)})"
