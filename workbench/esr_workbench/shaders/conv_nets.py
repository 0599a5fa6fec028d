"""eSR-CNN, ESPCN, FSRCNN and eSR-Stack as layers of features and banks on the last of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from esr_upscale.models import ModelSpec
from esr_upscale.models import conv_nets as models
from esr_upscale.plane_kernel import Weights
from esr_workbench.shaders.bicubic import bicubic_bank
from esr_workbench.shaders.glsl import number
from esr_workbench.shaders.network import SUM, Floats, Layer, Network, ShaderFamily, attention, bank


def _features(layers: models.Layers, prefix: str, weights: Weights) -> tuple[Layer, ...]:
    # Every convolution but the last is followed by its activation.
    features = []
    for position in range(0, len(layers) - 1, 2):
        convolution, activation = layers[position], layers[position + 1]
        assert isinstance(convolution, models.Convolution)
        assert isinstance(activation, models.Activation)
        if activation.kind == "prelu":
            slope = number(weights[f"{prefix}.{position + 1}.weight"].item())
            expression = f"max({SUM}, 0.0) + {slope} * min({SUM}, 0.0)"
        else:
            expression = {"tanh": f"tanh({SUM})", "relu": f"max({SUM}, 0.0)"}[activation.kind]
        weight, bias = weights[f"{prefix}.{position}.weight"], weights[f"{prefix}.{position}.bias"]
        features.append(Layer(weight, bias, expression))
    return tuple(features)


def _last(layers: models.Layers, prefix: str, weights: Weights) -> tuple[Floats, Floats | None]:
    name = f"{prefix}.{len(layers) - 1}"
    return weights[f"{name}.weight"], weights.get(f"{name}.bias")


def _esr_cnn(spec: ModelSpec, weights: Weights) -> Network:
    layers, phases = models.esr_cnn(spec), spec.scale**2
    filters = _last(layers, "filter", weights)[0]
    names = [f"{letter}{c}" for letter in "vk" for c in range(spec["C"])]
    banks = [bank(name, filters[i * phases : (i + 1) * phases]) for i, name in enumerate(names)]
    steps, result = attention([f"k{c} * k{c}" for c in range(spec["C"])])
    active_banks = banks if spec["C"] > 1 else banks[:1]
    return Network(_features(layers, "filter", weights), tuple(active_banks), steps, result)


def _espcn(spec: ModelSpec, weights: Weights) -> Network:
    layers = models.espcn(spec)
    last = bank("v0", *_last(layers, "net", weights))
    return Network(_features(layers, "net", weights), (last,), (), "1.0 / (1.0 + exp(-v0))")


def _fsrcnn(spec: ModelSpec, weights: Weights) -> Network:
    layers = models.fsrcnn(spec)
    last, (weight, bias) = layers[-1], _last(layers, "net", weights)
    assert isinstance(last, models.TransposedConvolution)
    assert bias is not None
    filters = _polyphase(weight[:, 0], spec.scale, last)
    ending = bank("v0", filters, np.repeat(bias, spec.scale**2))
    return Network(_features(layers, "net", weights), (ending,), (), "v0")


def _polyphase(weight: NDArray[np.float32], scale: int, layer: models.TransposedConvolution) -> Floats:
    # Input pixel y + j adds its tap s·j' + phase + offset, with j' = −j, to output pixel s·y + phase.
    radius, size = layer.reach(scale), layer.kernel
    filters = np.zeros((scale, scale, len(weight), 2 * radius + 1, 2 * radius + 1), np.float32)
    taps = [
        (phase, j + radius, phase + layer.offset(scale) - scale * j)
        for phase in range(scale)
        for j in range(-radius, radius + 1)
    ]
    inside = [tap for tap in taps if 0 <= tap[2] < size]
    for phase_y, row, tap_y in inside:
        for phase_x, column, tap_x in inside:
            filters[phase_y, phase_x, :, row, column] = weight[:, tap_y, tap_x]
    return filters.reshape(scale**2, *filters.shape[2:])


def _esr_stack(spec: ModelSpec, weights: Weights) -> Network:
    layers = models.esr_stack(spec)
    banks = (bank("v0", *_last(layers, "net", weights)), bicubic_bank("base", spec.scale))
    return Network(_features(layers, "net", weights), banks, (), "base + v0")


BUILDERS: dict[str, Callable[[ModelSpec, Weights], Network]] = {
    "esr_cnn": _esr_cnn,
    "espcn": _espcn,
    "fsrcnn": _fsrcnn,
    "esr_stack": _esr_stack,
}
FAMILIES = tuple(ShaderFamily(family, build) for family, build in BUILDERS.items())
