"""eSR-MAX, eSR-TM and eSR-TR: one convolution, then a choice between its channels.

P. Navarrete Michelini, Y. Lu, X. Jiang, "edge-SR: Super-Resolution For The Masses", WACV 2022, arXiv 2108.10335.
"""

from __future__ import annotations

from functools import partial

from esr_upscale.models.spec import Family, HyperParameter, ModelSpec, Shapes

TENSOR = "filter.weight"


def _shapes(groups: int, spec: ModelSpec) -> Shapes:
    kernel = spec["K"]
    return {TENSOR: (groups * spec["C"] * spec.scale**2, 1, kernel, kernel)}


def _macs(spec: ModelSpec) -> int:
    # The paper counts the convolution only: every weight is used once for each input pixel.
    return spec.parameters


def _radius(spec: ModelSpec) -> int:
    return spec["K"] // 2


def _family(name: str, paper_name: str, groups: int, channels: int) -> Family:
    hyper = (
        HyperParameter("K", default=5, allowed=range(1, 16, 2)),
        HyperParameter("C", default=channels, allowed=range(1, 33)),
    )
    return Family(name, paper_name, hyper, partial(_shapes, groups), _macs, _radius)


FAMILIES = (
    _family("esr_max", "eSR-MAX", groups=1, channels=2),
    _family("esr_tm", "eSR-TM", groups=2, channels=4),  # value, key
    _family("esr_tr", "eSR-TR", groups=3, channels=2),  # value, query, key
)
