"""What a file of this package says of a family: how its pipeline is built.

A family's file has its name in `models/` and ends in `DESIGNS`, a tuple, which `designs` collects.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import esr_upscale.kernels as package
from esr_upscale.kernels.interface import Weights
from esr_upscale.kernels.pipeline import Job, Pipeline
from esr_upscale.models import ModelSpec


@dataclass(frozen=True, slots=True)
class Design:
    """A family as fused CPU code."""

    family: str
    """The family's name in `models/`."""
    build: Callable[[ModelSpec, Weights, Job], Pipeline]
    """Builds the scheduled pipeline, not compiled yet."""
    in_code: bool = False
    """Whether some weights are in the code, and not among the pipeline's constants."""


@cache
def designs() -> Mapping[str, Design]:
    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    return MappingProxyType({design.family: design for module in modules for design in getattr(module, "DESIGNS", ())})
