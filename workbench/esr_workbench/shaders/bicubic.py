"""Bicubic as a bank of s² filters: Keys' cubic, a = −0.5."""

from __future__ import annotations

import numpy as np

from esr_upscale.filters import windows
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights
from esr_workbench.shaders.network import Bank, Network, ShaderFamily, bank


def bicubic_bank(name: str, scale: int) -> Bank:
    """Return bicubic of luma as a bank."""
    taps = np.array(windows(scale))
    filters = np.einsum("yi,xj->yxij", taps, taps).reshape(scale**2, 1, *taps.shape[1:] * 2)
    return bank(name, filters, is_on_luma=True)


def _build(spec: ModelSpec, weights: Weights) -> Network:
    del weights
    return Network((), (bicubic_bank("v0", spec.scale),), (), "v0")


FAMILIES = (ShaderFamily("bicubic", _build),)
