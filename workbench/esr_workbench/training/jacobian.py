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
    """Return E[JᵀJ] (P, P) of `forward`, which runs `module` on crops `x` (N, 1, h, w), in `parameters()`' order."""
    jacobian = rows(forward, module, x, generator)
    return jacobian.T @ jacobian / len(jacobian)


def rows(forward: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """Return the rows of the crops, (N, P), each divided by the root of the number of its output pixels."""
    with _passages(module) as passages:
        y = forward(x)
    signs = torch.randint(0, 2, y.shape, generator=generator) * 2.0 - 1
    backs = torch.autograd.grad((y * signs).sum() / math.sqrt(y[0].numel()), [out for _, _, out in passages])
    derivatives: dict[Tensor, Tensor] = {}
    for (layer, layer_input, _), back in zip(passages, backs, strict=True):
        derivatives |= LAYERS[type(layer)](layer, layer_input, back)
    return torch.cat([derivatives[parameter] for parameter in module.parameters()], 1)


@contextmanager
def _passages(module: nn.Module) -> Iterator[list[Passage]]:
    passages: list[Passage] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        passages.append((layer, inputs[0].detach(), out))

    hooks = [layer.register_forward_hook(keep) for layer in module.modules() if type(layer) in LAYERS]
    try:
        yield passages
    finally:
        for hook in hooks:
            hook.remove()


def _convolution(layer: nn.Module, x: Tensor, back: Tensor) -> dict[Tensor, Tensor]:
    assert isinstance(layer, nn.Conv2d)
    patches = functional.unfold(x, layer.kernel_size, padding=layer.padding)  # type: ignore[arg-type]
    return {layer.weight: (back.flatten(2) @ patches.mT).flatten(1)} | _bias(layer.bias, back)


def _transposed_convolution(layer: nn.Module, x: Tensor, back: Tensor) -> dict[Tensor, Tensor]:
    # Every input pixel was spread over k×k output pixels; those are what comes back to it.
    assert isinstance(layer, nn.ConvTranspose2d)
    (kernel, _), (stride, _) = layer.kernel_size, layer.stride
    before = int(layer.padding[0])
    behind = [(n - 1) * stride + kernel - before - m for n, m in zip(x.shape[2:], back.shape[2:], strict=True)]
    patches = functional.unfold(functional.pad(back, (before, behind[1], before, behind[0])), kernel, stride=stride)
    return {layer.weight: (x.flatten(2) @ patches.mT).flatten(1)} | _bias(layer.bias, back)


def _prelu(layer: nn.Module, x: Tensor, back: Tensor) -> dict[Tensor, Tensor]:
    assert isinstance(layer, nn.PReLU)
    return {layer.weight: (back * x.clamp_max(0)).flatten(1).sum(1, keepdim=True)}


def _bias(bias: Tensor | None, back: Tensor) -> dict[Tensor, Tensor]:
    return {} if bias is None else {bias: back.flatten(2).sum(2)}


LAYERS: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], dict[Tensor, Tensor]]] = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _transposed_convolution,
    nn.PReLU: _prelu,
}
"""How the parameters of a layer get their part of a row. PReLU: with the one slope that all channels share."""
