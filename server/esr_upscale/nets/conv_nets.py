"""eSR-CNN, ESPCN, FSRCNN and eSR-Stack in torch, from the layers that `models/conv_nets.py` lists.

Papers: arXiv 2108.10335, 1609.05158, 1608.00367; reference implementation of the sizes and names here:
github.com/pnavarre/eSR. With `padding: edge` the input is padded once, by the network's radius, and no layer pads; with
`padding: zeros` every layer pads, as published.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from esr_upscale.filters import RADIUS
from esr_upscale.models import ModelSpec
from esr_upscale.models.conv_nets import (
    Activation,
    Convolution,
    Layers,
    TransposedConvolution,
    espcn,
    esr_cnn,
    esr_stack,
    fsrcnn,
)
from esr_upscale.nets.bicubic import Bicubic
from esr_upscale.nets.family import TorchFamily

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "prelu": nn.PReLU, "relu": nn.ReLU}


def _layer(layer: Convolution | Activation, spec: ModelSpec) -> nn.Module:
    if isinstance(layer, Activation):
        return ACTIVATIONS[layer.kind]()
    inputs, outputs, kernel = layer.inputs, layer.outputs, layer.kernel
    if isinstance(layer, TransposedConvolution):
        # Just as much is cut off that (N, D, h, w) → (N, 1, s·h, s·w).
        s, cut = spec.scale, layer.offset(spec.scale)
        rest = s - kernel + 2 * cut
        return nn.ConvTranspose2d(inputs, outputs, kernel, stride=s, padding=cut, output_padding=rest)
    padding = kernel // 2 if spec.padding == "zeros" else 0
    return nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=layer.bias)


def _sequence(layers: Layers, spec: ModelSpec) -> nn.Sequential:
    return nn.Sequential(*(_layer(layer, spec) for layer in layers))


def _surround(x: Tensor, spec: ModelSpec) -> Tensor:
    return F.pad(x, (spec.radius,) * 4, mode="replicate") if spec.padding == "edge" else x


class EsrCnn(nn.Module):
    """eSR-CNN: `filter` gives C values and C keys for every output pixel; Σ value · softmax(key²)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.filter = _sequence(esr_cnn(spec), spec)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, 1, H, W) in [0, 1] to (N, 1, s·H, s·W), not clipped."""
        x = F.pixel_shuffle(self.filter(_surround(x, self.spec)), self.spec.scale)
        value, key = x.chunk(2, 1)
        return torch.sum(value * torch.softmax(key * key, 1), 1, keepdim=True)


class Espcn(nn.Module):
    """ESPCN: `net`, pixel shuffle, sigmoid."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.net = _sequence(espcn(spec), spec)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, 1, H, W) in [0, 1] to (N, 1, s·H, s·W), in (0, 1)."""
        return torch.sigmoid(F.pixel_shuffle(self.net(_surround(x, self.spec)), self.spec.scale))


class Fsrcnn(nn.Module):
    """FSRCNN: `net` ends in the transposed convolution, so that there is no shuffle."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        layers = fsrcnn(spec)
        self.net = _sequence(layers, spec)
        # With the edge replicated the last layer gets as many pixels around the picture as it looks at. What it makes
        # of them lies around the upscaled picture and is cut off; all that they give to the picture itself is in it.
        surplus = layers[-1].reach(spec.scale) if isinstance(layers[-1], Convolution) else 0
        self.margin = spec.scale * surplus if spec.padding == "edge" else 0

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, 1, H, W) in [0, 1] to (N, 1, s·H, s·W), not clipped."""
        inner = slice(self.margin, -self.margin or None)
        cropped: Tensor = self.net(_surround(x, self.spec))[..., inner, inner]
        return cropped


class EsrStack(nn.Module):
    """eSR-Stack: what `net` makes of a pixel is added to bicubic."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.net = _sequence(esr_stack(spec), spec)
        self.base = Bicubic(spec.scale)
        # A fresh one is nearly bicubic, and learns from there.
        for parameter in self.net[-1].parameters():
            nn.init.normal_(parameter, std=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, 1, H, W) in [0, 1] to (N, 1, s·H, s·W), not clipped."""
        mode = "replicate" if self.spec.padding == "edge" else "constant"
        base = F.conv2d(F.pad(x, (RADIUS,) * 4, mode=mode), self.base.weight)
        return F.pixel_shuffle(base + self.net(_surround(x, self.spec)), self.spec.scale)


FAMILIES = (
    TorchFamily("esr_cnn", EsrCnn),
    TorchFamily("espcn", Espcn),
    TorchFamily("fsrcnn", Fsrcnn),
    TorchFamily("esr_stack", EsrStack),
)
