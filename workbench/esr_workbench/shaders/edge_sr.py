"""eSR-MAX, eSR-TM and eSR-TR as banks on luma and a choice between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from esr_upscale.models import ModelSpec
from esr_upscale.models.edge_sr import TENSOR
from esr_upscale.plane_kernel import Weights
from esr_workbench.shaders.network import Network, ShaderFamily, attention, bank


def _maximum(channels: int) -> tuple[tuple[str, ...], str]:
    result = "v0"
    for c in range(1, channels):
        result = f"max({result}, v{c})"
    return (), result


HEADS: dict[str, tuple[str, Callable[[int], tuple[tuple[str, ...], str]]]] = {
    "esr_max": ("v", _maximum),
    "esr_tm": ("vk", lambda channels: attention([f"k{c}" for c in range(channels)])),
    "esr_tr": ("vqk", lambda channels: attention([f"q{c} * k{c}" for c in range(channels)])),
}
"""Family → the letters of its groups of channels (value, query, key), and how it chooses."""


def _build(family: str, spec: ModelSpec, weights: Weights) -> Network:
    letters, head = HEADS[family]
    channels, size = spec["C"], spec["K"]
    steps, result = head(channels)
    filters = weights[TENSOR].reshape(len(letters) * channels, spec.scale**2, 1, size, size)
    names = [f"{letter}{c}" for letter in letters for c in range(channels)]
    # Of one channel the softmax is 1, and what is no value has no effect.
    active_names = names if channels > 1 else names[:1]
    return Network((), tuple(bank(n, f) for n, f in zip(active_names, filters, strict=False)), steps, result)


FAMILIES = tuple(ShaderFamily(family, partial(_build, family)) for family in HEADS)
