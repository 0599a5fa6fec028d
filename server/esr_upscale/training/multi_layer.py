"""Training of any network by convolution, on random crops: eSR-CNN, ESPCN, FSRCNN.

Only the inside of a crop's result is judged, where the network saw nothing but the picture. So the trained twin of a
network may pad its layers with zeros, which is cheaper than replicating the edge around the input, and the weights are
those of the network all the same.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from esr_upscale import nets
from esr_upscale.models import ModelSpec
from esr_upscale.training.checkpoint import optimizer_tensors, restore_optimizer
from esr_upscale.training.tiles import Crops, Tile, split

PEAK_RATE = 1e-2
WARM_UP = 0.03
"""The share of steps in which the rate rises."""
EMA_DECAY = 0.998
CLIP = 3.0
"""A gradient longer than this many times the usual is shortened to that."""
JUDGED = 64
"""Held-out tiles that the figure is of."""


class CropTrainer:
    """One run. A Trainer."""

    def __init__(self, spec: ModelSpec, tiles: list[Tile], seed: int, *, batch: int, crop: int, peak: float) -> None:
        self._spec, self._batch, self._peak = spec, batch, peak
        self._generator = torch.Generator().manual_seed(seed)
        trained, held = split(tiles, seed)
        self._crops = Crops(trained, min(crop, *(min(tile.lr.shape) for tile in trained)), spec.radius)
        self._held = held[:: -(-len(held) // JUDGED)]
        self._module = _fresh(dataclasses.replace(spec, padding="zeros"), seed)
        self._average = {name: value.clone() for name, value in self._module.state_dict().items()}
        self._parameters = list(self._module.parameters())
        self._usual = torch.zeros(2)  # the gradient's usual length: a fading sum, and the sum of its weights
        self._optimizer = torch.optim.Adam(self._parameters, lr=peak, betas=(0.9, 0.99), fused=True)

    def rate(self, step: int, steps: int) -> float:
        """As Trainer: a short rise, then half a cosine down to zero."""
        rise = min(1.0, step / max(1.0, WARM_UP * steps))
        return self._peak * rise * 0.5 * (1 + math.cos(math.pi * step / steps))

    def step(self, rate: float) -> float:
        """As Trainer."""
        x, y = self._crops.draw(self._batch, self._generator)
        loss = (self._inside(self._module(x)) - y).square().mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._clip()
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        # Of the first weights, which are random, nothing may stay: never more than a tenth of the steps is averaged.
        done = float(self._optimizer.state[self._parameters[0]]["step"])
        share = max(1 - EMA_DECAY, 10 / (done + 9))
        for name, value in self._module.state_dict().items():
            self._average[name].lerp_(value, share)
        return float(loss.detach())

    def _inside(self, y: Tensor) -> Tensor:
        margin = self._crops.margin * self._spec.scale
        return y[..., margin:-margin, margin:-margin] if margin else y

    def _clip(self) -> None:
        fading, weight = self._usual.tolist()
        length = nn.utils.clip_grad_norm_(self._parameters, CLIP * fading / weight if weight else math.inf)
        self._usual.lerp_(torch.stack([length, torch.ones(())]), 0.01)

    @torch.no_grad()
    def judge(self) -> float:
        """As Trainer: mean PSNR over held-out tiles, as `esr eval` measures pictures."""
        module = nets.build_module(self._spec, self.weights())
        return float(np.mean([_psnr(module, tile, self._spec.scale) for tile in self._held]))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """As Trainer: the average of the last steps'."""
        return {name: value.numpy().copy() for name, value in self._average.items()}

    def state(self) -> dict[str, Tensor]:
        """As Trainer."""
        return {
            **{f"module.{name}": value for name, value in self._module.state_dict().items()},
            **{f"average.{name}": value for name, value in self._average.items()},
            **optimizer_tensors(self._optimizer),
            "usual": self._usual,
            "generator": self._generator.get_state(),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """As Trainer."""
        self._module.load_state_dict({name: state[f"module.{name}"] for name in self._average})
        self._average = {name: state[f"average.{name}"] for name in self._average}
        restore_optimizer(self._optimizer, state)
        self._usual = state["usual"]
        self._generator.set_state(state["generator"])

    def recipe(self, steps: int) -> str:
        """As Trainer."""
        return (
            f"{steps} steps of Adam on {self._batch} crops of {self._crops.size}×{self._crops.size} drawn from the "
            f"tiles in all eight positions (peak rate {self._peak:g}, warm-up, cosine, gradients clipped, weights "
            "averaged), squared error of the inside that no padding reaches"
        )


def _fresh(spec: ModelSpec, seed: int) -> nn.Module:
    # Modules draw their first weights from torch's global generator; whoever else uses it is not to notice.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nets.build_module(spec)


def _psnr(module: nn.Module, tile: Tile, scale: int) -> float:
    up = module(torch.from_numpy(tile.lr)[None, None].float() / 255)[0, 0] * 255
    difference = up.clamp(0, 255).round() - torch.from_numpy(tile.picture_hr())
    inner = slice(scale, -scale)
    return -10 * math.log10(float(difference[inner, inner].square().mean()) / 255**2 + 1e-8)
