"""Bicubic in torch: Keys' cubic, a = −0.5, with a siting for each axis.

The paper's two forms of it: filter with s² polyphase filters and shuffle (`Bicubic`), or insert zeros and filter
(`ZeroInsertBicubic`). The first is the reference, the second is there to show that both give the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from esr_upscale.filters import RADIUS, TAPS, Phase, Siting, keys_cubic, polyphase, windows
from esr_upscale.nets.family import TorchFamily


class Bicubic(nn.Module):
    """Filter with s² polyphase filters, then pixel shuffle: (N, 1, H, W) → (N, 1, s·H, s·W), edge replicated."""

    weight: Tensor

    def __init__(self, scale: int, siting_y: Siting = Siting.CENTRED, siting_x: Siting = Siting.CENTRED) -> None:
        super().__init__()
        self.scale = scale
        vertical, horizontal = (
            torch.tensor(windows(scale, siting), dtype=torch.float64) for siting in (siting_y, siting_x)
        )
        filters = torch.einsum("yi,xj->yxij", vertical, horizontal).reshape(scale**2, 1, *[2 * RADIUS + 1] * 2)
        self.register_buffer("weight", filters.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, 1, H, W), not clipped."""
        x = F.conv2d(F.pad(x, (RADIUS,) * 4, mode="replicate"), self.weight)
        return F.pixel_shuffle(x, self.scale)


class ZeroInsertBicubic(nn.Module):
    """Insert s−1 zeros after each sample, then filter once: the same picture as `Bicubic`."""

    weight: Tensor

    def __init__(self, scale: int, siting_y: Siting = Siting.CENTRED, siting_x: Siting = Siting.CENTRED) -> None:
        super().__init__()
        self.scale = scale
        # Output J = s·i + p reads position (J + o)/s − o, so input sample k, at s·k in the comb, has the weight
        # keys((o − s·o − d)/s) with d = s·k − J. With k from i − RADIUS to i + RADIUS, d runs over this range.
        offsets = range(-RADIUS * scale - (scale - 1), RADIUS * scale + 1)
        vertical, horizontal = (
            torch.tensor([keys_cubic((shift - d) / scale) for d in offsets], dtype=torch.float64)
            for shift in (siting_y.value * (1 - scale), siting_x.value * (1 - scale))
        )
        self.register_buffer("weight", torch.outer(vertical, horizontal)[None, None].float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, 1, H, W), not clipped."""
        s = self.scale
        x = F.pad(x, (RADIUS,) * 4, mode="replicate")
        comb = x.new_zeros(*x.shape[:2], s * x.shape[2], s * x.shape[3])
        comb[..., ::s, ::s] = x
        return F.conv2d(F.pad(comb, (s - 1, 0, s - 1, 0)), self.weight)


class BicubicForm:
    """Bicubic on a strip: vertically, then horizontally, each phase four scaled slices."""

    # Every operation is a slice scaled and added: so cheap that starting it must be worth while.
    strip_pixels = 260_000

    def __init__(self, scale: int, siting_y: Siting, siting_x: Siting) -> None:
        self._vertical, self._horizontal = polyphase(scale, siting_y), polyphase(scale, siting_x)

    def __call__(self, strip: Tensor) -> Iterator[Tensor]:
        height, width = strip.shape[0] - 2 * RADIUS, strip.shape[1] - 2 * RADIUS
        columns, result = strip.new_empty(height, strip.shape[1]), strip.new_empty(height, width)
        for phase_y in self._vertical:
            _filter(strip, phase_y, 0, columns)
            for phase_x in self._horizontal:
                yield _filter(columns, phase_x, 1, result)


def _filter(x: Tensor, phase: Phase, axis: int, out: Tensor) -> Tensor:
    start, size = phase.first + RADIUS, out.shape[axis]
    torch.mul(x.narrow(axis, start, size), phase.weights[0], out=out)
    for k in range(1, TAPS):
        out.add_(x.narrow(axis, start + k, size), alpha=phase.weights[k])
    return out


FAMILIES = (
    TorchFamily(
        "bicubic",
        lambda spec: Bicubic(spec.scale),
        # Linear: code values in, code values out.
        lambda spec, _weights, _maximum: BicubicForm(spec.scale, Siting.CENTRED, Siting.CENTRED),
    ),
)
