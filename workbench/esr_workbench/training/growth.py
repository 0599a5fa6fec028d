"""Weights to start from that another network of the same family leaves: of another scale, or of fewer layers.

What eSR-Stack sees in a picture does not depend on the scale, only its last layer does. And a layer that passes on what
it gets can be added anywhere behind ReLU (T. Chen, I. Goodfellow, J. Shlens, "Net2Net", ICLR 2016, arXiv 1511.05641).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import SUFFIX, ModelSpec, spec_named
from esr_upscale.models.weights_file import PACKAGED
from esr_upscale.plane_kernel import Weights

GROWING = "esr_stack"


def nearest_start(spec: ModelSpec, place: Path) -> ModelSpec:
    """Return the network with weights in `place` that `spec` can start from.

    It is `spec` itself if that is there, or with weights for clean sources. For eSR-Stack it may be one of the same
    width with as many layers or fewer: of the same scale first, then the deepest.

    Raises:
        InvalidInputError: there is none.
    """
    available = [
        other
        for path in sorted(place.glob(f"*{SUFFIX}"))
        if (other := spec_named(path.stem)) is not None and other.canonical_id == path.stem
    ]
    for same in (spec, replace(spec, clean=True)):
        if same in available:
            return same
    fitting = [
        other
        for other in available
        if other.family == spec.family == GROWING
        and other["C"] == spec["C"]
        and other["L"] <= spec["L"]
        and other.padding == spec.padding
    ]
    if not fitting:
        also = f", nor of an eSR-Stack with C{spec['C']} and at most L{spec['L']}" if spec.family == GROWING else ""
        where = "edge-sr" if place == PACKAGED else str(place)
        raise InvalidInputError(f"{where} has no weights of {spec.canonical_id}{also} to start from")
    return max(fitting, key=lambda other: (other.scale == spec.scale, other["L"], -abs(other.scale - spec.scale)))


def grow_weights(weights: Weights, source: ModelSpec, spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Return weights of `spec` from those of `source`: the same network, or an eSR-Stack with as many layers or fewer.

    At the same scale both networks make the same picture. At another, each phase of the last layer is the bilinear
    function of its position that best fits the phases there were.
    """
    if (source.scale, source.values) == (spec.scale, spec.values):
        return {name: np.array(tensor) for name, tensor in weights.items()}
    inner, last = source["L"] - 1, spec["L"] - 1
    # Even positions are convolutions, odd ones ReLU.
    tensors = {name: np.array(tensor) for name, tensor in weights.items() if int(name.split(".")[1]) // 2 < inner}
    identity = np.zeros((spec["C"], spec["C"], 3, 3), np.float32)
    identity[range(spec["C"]), range(spec["C"]), 1, 1] = 1
    for layer in range(inner, last):
        tensors[f"net.{2 * layer}.weight"] = identity.copy()
        tensors[f"net.{2 * layer}.bias"] = np.zeros(spec["C"], np.float32)
    for kind in ("weight", "bias"):
        phases = np.array(weights[f"net.{2 * inner}.{kind}"])
        if source.scale != spec.scale:
            values = phases.reshape(source.scale**2, -1).astype(np.float64)
            terms = np.linalg.lstsq(_bilinear_terms(source.scale), values, rcond=None)[0]
            rescaled = _bilinear_terms(spec.scale) @ terms
            phases = rescaled.reshape(spec.scale**2, *phases.shape[1:]).astype(np.float32)
        tensors[f"net.{2 * last}.{kind}"] = phases
    return tensors


def _bilinear_terms(scale: int) -> NDArray[np.float64]:
    """Return 1, y, x and y·x at the centre of each phase, from the middle of the LR pixel: (s², 4)."""
    centres = (np.arange(scale) + 0.5) / scale - 0.5
    y, x = (part.ravel() for part in np.meshgrid(centres, centres, indexing="ij"))
    return np.stack([np.ones_like(y), y, x, y * x], 1)
