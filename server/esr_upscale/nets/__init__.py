"""The families as torch modules, for the torch backend and for training.

A family's file here has its name in `models/` and ends in `FAMILIES`, a tuple, which this package collects.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType

import torch
from torch import nn

from esr_upscale.models import ModelSpec
from esr_upscale.nets.family import TorchFamily
from esr_upscale.plane_kernel import Weights

__all__ = ["build_module", "torch_families"]


@cache
def torch_families() -> MappingProxyType[str, TorchFamily]:
    """Return the families by their names, of each module of this package that has some."""
    modules = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return MappingProxyType({row.name: row for module in modules for row in getattr(module, "FAMILIES", ())})


def build_module(spec: ModelSpec, weights: Weights | None = None) -> nn.Module:
    """Return the network as a torch module, with `weights` loaded strictly, or freshly initialised."""
    module = torch_families()[spec.family].module(spec)
    if weights is not None:
        module.load_state_dict({name: torch.tensor(tensor) for name, tensor in weights.items()})
    return module
