"""What a file of this package says of a family: its torch module, and its form for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights


class CpuForm(Protocol):
    """A network arranged for the CPU, a horizontal strip of a picture at a time. Holds no state between strips."""

    strip_pixels: int
    """How many input pixels a strip should have for what is made of it to stay in the cache."""

    def __call__(self, strip: torch.Tensor) -> Iterable[torch.Tensor]:
        """Upscale `strip`, float32 code values (h + 2r, w + 2r) with its surroundings of the network's radius r.

        Gives s² planes (h, w), float32 code values neither rounded nor clipped: phase dy·s + dx of every input pixel.
        A plane may be changed by who gets it, and is good until the next one is asked for.
        """
        ...


@dataclass(frozen=True, slots=True)
class TorchFamily:
    """A family in torch."""

    name: str
    """As in `models/`."""
    module: Callable[[ModelSpec], nn.Module]
    """Makes the module, (N, 1, H, W) in [0, 1] → (N, 1, s·H, s·W) unclipped, with parameters named as published."""
    cpu_form: Callable[[ModelSpec, Weights, int], CpuForm] | None = None
    """From spec, weights and 2ⁿ−1; None where the module itself serves on the CPU too."""
