"""Coordinates of patches in which no pixel tells anything about another."""

from __future__ import annotations

import torch
from torch import Tensor


def whitening(x: Tensor, least: float = 1e-7) -> Tensor:
    """Return the matrix (K², K²) that makes patches `x` (N, K²) uncorrelated and of unit power.

    Directions of less than `least` of the greatest power are left weaker.

    Neighbouring pixels are nearly alike, and Adam, which scales each number on its own, is slow along such valleys.
    """
    power, axes = torch.linalg.eigh(x.double().T @ x.double() / len(x))
    return torch.div(axes, power.clamp_min(float(power[-1]) * least).sqrt()).float()
