"""What the interpretation figures show, as arrays: filters, their frequency responses, and who wins where.

P. Navarrete Michelini, Y. Lu, X. Jiang, "edge-SR: Super-Resolution For The Masses", WACV 2022, arXiv 2108.10335.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec
from esr_upscale.models.edge_sr import TENSOR
from esr_upscale.nets import build_module
from esr_upscale.nets.bicubic import Bicubic, ZeroInsertBicubic
from esr_upscale.nets.edge_sr import HEADS, EdgeSR
from esr_upscale.plane_kernel import Weights

Array = NDArray[np.float64]

GROUPS = {"esr_max": ("filter",), "esr_tm": ("value", "key"), "esr_tr": ("value", "query", "key")}
"""Family → what each group of its filters is for, in the order of the weights."""

RESPONSE_SIZE = 128


@dataclass(frozen=True)
class Channels:
    """What the channels of a network make of a picture, at the size of the output (s·H, s·W)."""

    weights: Array
    """(C, s·H, s·W): the share of every channel in a pixel, 0 … 1, which sum to one. For eSR-MAX 0 or 1."""
    winner: NDArray[np.intp]
    """(s·H, s·W): the channel with the largest share; the first of equals."""
    picture: Array
    """(s·H, s·W): what the network makes, not clipped."""


@dataclass(frozen=True)
class BothForms:
    """One picture upscaled by both of the paper's forms of a linear upscaler, with what lies between."""

    comb: Array
    """(s·H, s·W): the input with zeros inserted."""
    phases: Array
    """(s², H, W): the input through each polyphase filter."""
    zero_insert: Array
    """(s·H, s·W): zeros inserted, then filtered."""
    shuffled: Array
    """(s·H, s·W): filtered by the polyphase filters, then shuffled."""

    @property
    def difference(self) -> float:
        """Return the largest difference between the two results."""
        return float(np.abs(self.zero_insert - self.shuffled).max())


def filter_groups(spec: ModelSpec, weights: Weights) -> dict[str, Array]:
    """Return the filters by purpose, (C, s², K, K) each. Raises InvalidInputError for a family that has none."""
    if spec.family == "bicubic":
        taps = Bicubic(spec.scale).weight.double().numpy()
        return {"filter": taps.reshape(1, spec.scale**2, *taps.shape[-2:])}
    if spec.family not in GROUPS:
        raise InvalidInputError(
            f"{spec.family} has no interpretation figures; these families have: bicubic, {', '.join(GROUPS)}"
        )
    names = GROUPS[spec.family]
    filters = weights[TENSOR].astype(np.float64).reshape(len(names), spec["C"], spec.scale**2, spec["K"], spec["K"])
    return dict(zip(names, filters, strict=True))


def upscaling_filter(phases: NDArray[Any]) -> Array:
    """Return s² polyphase filters (s², K, K) as the one filter (s·K, s·K) that follows zero insertion.

    This is the answer to a single bright pixel, so every phase, a correlation, is turned by 180°.
    """
    count, kernel, _ = phases.shape
    scale = round(count**0.5)
    kernels = phases[:, ::-1, ::-1].reshape(scale, scale, kernel, kernel)
    whole: Array = kernels.transpose(2, 0, 3, 1).reshape(scale * kernel, scale * kernel).astype(np.float64)
    return whole


def frequency_response(taps: NDArray[Any], size: int = RESPONSE_SIZE) -> Array:
    """Return the magnitude (size, size) of a filter's 2-D Fourier transform, frequency 0 at [size//2, size//2]."""
    spectrum = np.fft.fft2(taps, s=(size, size))
    return np.asarray(np.abs(np.fft.fftshift(spectrum)), np.float64)


@torch.no_grad()
def channels(spec: ModelSpec, weights: Weights, picture: NDArray[Any]) -> Channels:
    """Return what an eSR-MAX, eSR-TM or eSR-TR makes of `picture` (H, W) in 0 … 1, channel by channel."""
    module = build_module(spec, weights)
    if not isinstance(module, EdgeSR):
        raise InvalidInputError(f"{spec.family} has no channels that compete; these have: {', '.join(HEADS)}")
    module = module.double()
    responses: list[Tensor] = []
    # The module's own convolution, so that padding is its own affair.
    module.filter.register_forward_hook(lambda _m, _i, output: responses.append(output))
    upscaled = module(torch.from_numpy(np.ascontiguousarray(picture, np.float64))[None, None])[0, 0]
    shuffled = nn.functional.pixel_shuffle(responses[0], spec.scale)[0]
    z = shuffled.view(module.head.groups, spec["C"], *shuffled.shape[1:])  # (groups, C, s·H, s·W)
    if spec.family == "esr_max":
        shares = nn.functional.one_hot(z[0].argmax(0), z.shape[1]).movedim(-1, 0).double()
    else:
        shares = torch.softmax(z[1] if spec.family == "esr_tm" else z[1] * z[2], 0)
    return Channels(shares.numpy(), shares.argmax(0).numpy(), upscaled.numpy())


@torch.no_grad()
def both_forms(scale: int, picture: NDArray[Any]) -> BothForms:
    """Upscale `picture` (H, W) in 0 … 1 by bicubic (Keys, a = −0.5), by zero insertion and by pixel shuffle."""
    x = torch.from_numpy(np.ascontiguousarray(picture, np.float64))[None, None]
    shuffled = Bicubic(scale).double()(x)
    whole = ZeroInsertBicubic(scale).double()(x)
    comb = torch.zeros_like(shuffled)
    comb[..., ::scale, ::scale] = x
    phases = nn.functional.pixel_unshuffle(shuffled, scale)
    return BothForms(comb[0, 0].numpy(), phases[0].numpy(), whole[0, 0].numpy(), shuffled[0, 0].numpy())
