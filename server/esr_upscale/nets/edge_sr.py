"""eSR-MAX, eSR-TM and eSR-TR: one convolution, pixel shuffle, and a choice between the channels.

P. Navarrete Michelini, Y. Lu, X. Jiang, "edge-SR: Super-Resolution For The Masses", WACV 2022, arXiv 2108.10335;
reference implementation: github.com/pnavarre/eSR. The published code pads with zeros, ours with the picture's edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from esr_upscale.models import ModelSpec
from esr_upscale.models.edge_sr import TENSOR
from esr_upscale.nets.family import TorchFamily
from esr_upscale.plane_kernel import Weights


@dataclass(frozen=True, slots=True)
class Head:
    """How a family chooses between its channels."""

    groups: int
    """value; value and key; value, query and key."""
    choose: Callable[[Tensor], Tensor]
    """(groups, C, …) → (…)."""
    pair: Callable[[Tensor], Tensor] | None
    """The same for C = 2, on the rows that `fold` makes of the filters: (rows, …) → (…)."""
    fold: Callable[[Tensor], Tensor] | None
    """(groups, 2, …) → (rows, …), linear, so that it may be done to the filters once instead of to every pixel."""


def _template_matching(z: Tensor) -> Tensor:
    value, key = z.unbind()
    return torch.sum(value * torch.softmax(key, 0), 0)


def _transformer(z: Tensor) -> Tensor:
    value, query, key = z.unbind()
    return torch.sum(value * torch.softmax(query * key, 0), 0)


# A softmax over two is a sigmoid of the difference: half the exponentials, and the differences fold into the filters.


def _fold_template_matching(w: Tensor) -> Tensor:
    (v0, v1), (k0, k1) = w
    return torch.stack([v1, v0 - v1, k0 - k1])


def _pair_template_matching(z: Tensor) -> Tensor:
    base, step, key = z
    return torch.addcmul(base, step, key.sigmoid())


def _fold_transformer(w: Tensor) -> Tensor:
    (v0, v1), (q0, q1), (k0, k1) = w
    return torch.stack([v1, v0 - v1, q0, k0, q1, k1])


def _pair_transformer(z: Tensor) -> Tensor:
    base, step, q0, k0, q1, k1 = z
    likeness = torch.addcmul(q0.mul_(k0), q1, k1, value=-1)
    return torch.addcmul(base, step, likeness.sigmoid_())


HEADS = {
    "esr_max": Head(1, lambda z: z[0].amax(0), None, None),
    "esr_tm": Head(2, _template_matching, _pair_template_matching, _fold_template_matching),
    "esr_tr": Head(3, _transformer, _pair_transformer, _fold_transformer),
}


class EdgeSR(nn.Module):
    """The network as the paper has it. `filter` is its one convolution, without a bias."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.head = HEADS[spec.family]
        channels = self.head.groups * spec["C"] * spec.scale**2
        self.filter = nn.Conv2d(1, channels, spec["K"], bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, 1, H, W) in [0, 1] to (N, 1, s·H, s·W), not clipped."""
        r = self.spec.radius
        x = F.pad(x, (r, r, r, r), mode="replicate" if self.spec.padding == "edge" else "constant")
        x = F.pixel_shuffle(self.filter(x), self.spec.scale)  # (N, groups·C, s·H, s·W)
        x = x.view(len(x), self.head.groups, self.spec["C"], *x.shape[2:]).movedim(0, 2)  # (groups, C, N, s·H, s·W)
        return self.head.choose(x).unsqueeze(1)


STRIP_BYTES = 5_600_000
"""Patches and products of one strip; the fastest of what was tried, a few megabytes either way matter little."""


class EdgeSRForm:
    """The network on a strip as one matrix product: (rows·s², K²) filters by (K², h·w) patches."""

    def __init__(self, spec: ModelSpec, weights: Weights, maximum: int) -> None:
        head, self._kernel = HEADS[spec.family], spec["K"]
        self._phases = spec.scale**2
        filters = torch.from_numpy(weights[TENSOR].astype(np.float64))
        filters = filters.reshape(head.groups, spec["C"], self._phases, self._kernel**2)
        # Code values in and out: value is linear in them as it is; query and key want them in [0, 1].
        filters[1:] /= maximum
        folded = head.fold is not None and spec["C"] == 2
        self._choose = (head.pair if folded else head.choose) or head.choose
        rows = head.fold(filters) if head.fold is not None and folded else filters
        self._layout = rows.shape[:-2]
        self._filters = rows.reshape(-1, self._kernel**2).float().contiguous()
        self.strip_pixels = STRIP_BYTES // (4 * sum(self._filters.shape))

    def __call__(self, strip: Tensor) -> Tensor:
        k = self._kernel
        h, w = strip.shape[0] - k + 1, strip.shape[1] - k + 1
        row, column = strip.stride()
        patches = strip.as_strided((k, k, h, w), (row, column, row, column), strip.storage_offset())
        z = self._filters @ patches.reshape(k * k, h * w)
        return self._choose(z.view(*self._layout, self._phases, h, w))


FAMILIES = tuple(TorchFamily(family, EdgeSR, EdgeSRForm) for family in HEADS)
