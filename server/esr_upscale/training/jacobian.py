"""Rows of the Gauss–Newton matrix of a network of convolutions, one from each crop.

A row is the derivative of Σ ±output by all parameters, the signs drawn at random for each output pixel: the mean of
row·rowᵀ over crops and signs is E[JᵀJ] over pixels. Autograd gives derivatives of a batch's sum only, so the crops'
own ones are made from what went into each layer and what came back to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

Passage = tuple[nn.Module, Tensor, Tensor]
"""A layer, what went in and what came out."""


def curvature(forward: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """E[JᵀJ] (P, P) of `forward`, which runs `module` on crops `x` (N, 1, h, w) → (N, …), in `parameters()`' order."""
    found = rows(forward, module, x, generator)
    return found.T @ found / len(found)


def rows(forward: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """The rows of the crops, (N, P), each divided by the root of the number of its output pixels."""
    with _passages(module) as passed:
        y = forward(x)
    signs = torch.randint(0, 2, y.shape, generator=generator) * 2.0 - 1
    backs = torch.autograd.grad((y * signs).sum() / math.sqrt(y[0].numel()), [out for _, _, out in passed])
    found: dict[Tensor, Tensor] = {}
    for (layer, into, _), back in zip(passed, backs, strict=True):
        found |= LAYERS[type(layer)](layer, into, back)
    return torch.cat([found[parameter] for parameter in module.parameters()], 1)


@contextmanager
def _passages(module: nn.Module) -> Iterator[list[Passage]]:
    passed: list[Passage] = []

    def keep(layer: nn.Module, into: tuple[Tensor, ...], out: Tensor) -> None:
        passed.append((layer, into[0].detach(), out))

    hooks = [layer.register_forward_hook(keep) for layer in module.modules() if type(layer) in LAYERS]
    try:
        yield passed
    finally:
        for hook in hooks:
            hook.remove()


def _convolution(layer: nn.Module, into: Tensor, back: Tensor) -> dict[Tensor, Tensor]:
    assert isinstance(layer, nn.Conv2d)
    patches = functional.unfold(into, layer.kernel_size, padding=layer.padding)  # type: ignore[arg-type]
    return {layer.weight: (back.flatten(2) @ patches.mT).flatten(1)} | _bias(layer.bias, back)


def _transposed(layer: nn.Module, into: Tensor, back: Tensor) -> dict[Tensor, Tensor]:
    # Every input pixel was spread over k×k output pixels; those are what comes back to it.
    assert isinstance(layer, nn.ConvTranspose2d)
    (kernel, _), (stride, _) = layer.kernel_size, layer.stride
    before = int(layer.padding[0])
    behind = [(n - 1) * stride + kernel - before - m for n, m in zip(into.shape[2:], back.shape[2:], strict=True)]
    patches = functional.unfold(functional.pad(back, (before, behind[1], before, behind[0])), kernel, stride=stride)
    return {layer.weight: (into.flatten(2) @ patches.mT).flatten(1)} | _bias(layer.bias, back)


def _prelu(layer: nn.Module, into: Tensor, back: Tensor) -> dict[Tensor, Tensor]:
    assert isinstance(layer, nn.PReLU)
    return {layer.weight: (back * into.clamp_max(0)).flatten(1).sum(1, keepdim=True)}


def _bias(bias: Tensor | None, back: Tensor) -> dict[Tensor, Tensor]:
    return {} if bias is None else {bias: back.flatten(2).sum(2)}


LAYERS: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], dict[Tensor, Tensor]]] = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _transposed,
    nn.PReLU: _prelu,
}
"""How the parameters of a layer get their part of a row. PReLU: with the one slope that all channels share."""
