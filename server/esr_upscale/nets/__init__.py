"""The families as torch modules: the torch backend, training, CUDA. With `training/` the only importer of torch.

A family's file here has its name in `models/` and ends in `FAMILIES`, a tuple, which this package collects.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType

import torch
from torch import nn

from esr_upscale.errors import EngineError
from esr_upscale.filters import RADIUS, Siting
from esr_upscale.models import ModelSpec, check_weights
from esr_upscale.nets.bicubic import Bicubic, BicubicForm
from esr_upscale.nets.engine import CpuKernel, ModuleKernel, SampleFormat
from esr_upscale.nets.family import TorchFamily
from esr_upscale.plane_kernel import PlaneKernel, Weights

__all__ = ["build_module", "chroma_kernel", "plan", "reference", "torch_families"]


@cache
def torch_families() -> MappingProxyType[str, TorchFamily]:
    """Return the families by their names, of each module of this package that has some."""
    modules = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return MappingProxyType({row.name: row for module in modules for row in getattr(module, "FAMILIES", ())})


def plan(spec: ModelSpec, weights: Weights, pixel_depth: int, *, device: str = "cpu", threads: int = 1) -> PlaneKernel:
    """Return the torch kernel of a model: uint8 planes at a depth of 8 bits, uint16 from 9 to 16.

    `device` is "cpu", on `threads` threads, or "cuda" (or "cuda:1"), in half precision up to 10 bits. Raises
    WeightsError when `weights` are not of this model, EngineError when the device is not there.
    """
    check_weights(spec, weights, "the given weights")
    form = torch_families()[spec.family].cpu_form
    if device == "cpu" and form is not None:
        sample_format = SampleFormat(pixel_depth)
        arranged = form(spec, weights, sample_format.maximum)
        return CpuKernel(arranged, spec.scale, spec.radius, spec.padding, sample_format, threads)
    return _on_device(build_module(spec, weights), pixel_depth, device)


def reference(spec: ModelSpec, weights: Weights, pixel_depth: int) -> PlaneKernel:
    """Return the module as it stands, in float32 on the CPU: slow, what every faster kernel is held against."""
    return _on_device(build_module(spec, weights), pixel_depth, "cpu")


def chroma_kernel(
    scale: int,
    siting_x: Siting,
    siting_y: Siting,
    pixel_depth: int,
    device: str = "cpu",
    threads: int = 1,
) -> PlaneKernel:
    """Return bicubic (Keys, a = −0.5) for a chroma plane sited as given on each axis; as `plan` otherwise."""
    if device == "cpu":
        form = BicubicForm(scale, siting_y, siting_x)
        return CpuKernel(form, scale, RADIUS, "edge", SampleFormat(pixel_depth), threads)
    return _on_device(Bicubic(scale, siting_y, siting_x), pixel_depth, device)


def build_module(spec: ModelSpec, weights: Weights | None = None) -> nn.Module:
    """Return the network as a torch module, with `weights` loaded strictly, or freshly initialised."""
    module = torch_families()[spec.family].module(spec)
    if weights is not None:
        module.load_state_dict({name: torch.tensor(tensor) for name, tensor in weights.items()})
    return module


def _on_device(module: nn.Module, pixel_depth: int, device: str) -> ModuleKernel:
    target = torch.device(device)
    if target.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device {device!r} was asked for, but torch sees no CUDA device here; use device 'cpu'")
    # Half has 11 bits of precision: enough for 10-bit code values, not for more.
    half = target.type == "cuda" and pixel_depth <= 10
    return ModuleKernel(module, SampleFormat(pixel_depth), target, torch.float16 if half else torch.float32)
