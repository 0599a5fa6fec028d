"""The entry of a family in this package: how its pipeline is built.

A family's file has the same name as in `models/`, and ends in `FAMILIES`, a tuple that `halide_families` collects.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import esr_upscale.backends.halide as package
from esr_upscale.backends.halide.pipeline import Job, Pipeline
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights


@dataclass(frozen=True, slots=True)
class HalideFamily:
    """A family as fused CPU code."""

    name: str
    """As in `models/`."""
    build: Callable[[ModelSpec, Weights, Job], Pipeline]
    """Builds the scheduled pipeline, not compiled yet."""
    in_code: bool = False
    """True if some weights are in the code instead of the pipeline's constants."""


@cache
def halide_families() -> Mapping[str, HalideFamily]:
    """Return the families with fused kernels by their names, of each module of this package that has some."""
    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    return MappingProxyType({row.name: row for module in modules for row in getattr(module, "FAMILIES", ())})
