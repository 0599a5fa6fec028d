"""Bicubic: Keys' cubic with a = −0.5 as s² polyphase filters of 4×4 taps. Fixed, so it has no weights."""

from __future__ import annotations

from esr_upscale.filters import TAPS
from esr_upscale.models.spec import Family, ModelSpec, Shapes


def _no_tensors(spec: ModelSpec) -> Shapes:
    del spec
    return {}


def _macs(spec: ModelSpec) -> int:
    # As the paper counts: the 2-D filters, although the engines here run the two axes one after the other.
    return TAPS**2 * spec.scale**2


def _radius(spec: ModelSpec) -> int:
    del spec
    return TAPS // 2


FAMILIES = (Family("bicubic", "Bicubic", (), _no_tensors, _macs, _radius),)
