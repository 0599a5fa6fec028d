"""Training of any network by convolution, on random crops: eSR-CNN, ESPCN, FSRCNN, eSR-Stack, and all of them on video.

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
from torch.nn import functional

from esr_upscale import nets
from esr_upscale.models import ModelSpec
from esr_upscale.nets.edge_sr import HEADS
from esr_upscale.plane_kernel import Weights
from esr_workbench.datasets.crops import CropSampler, CropSource, check_size
from esr_workbench.datasets.symmetry import symmetry
from esr_workbench.training.checkpoint import optimizer_tensors, restore_optimizer
from esr_workbench.training.jacobian import curvature
from esr_workbench.training.newton import NewtonAdam
from esr_workbench.training.whitening import whitening

RATE, RATES = 2e-2, {"esr_stack": 4e-3}
"""The learning rate of Adam, at its peak, and for families where another is better: more kills units with ReLU."""
START = 0.08
"""The share of steps that Adam goes ahead with, from weights too far off for Gauss–Newton."""
NEWTON_RATE, LONGEST, JOURNEY = 1e-3, 0.1, 0.12
"""The peak rate of Gauss–Newton, how far it may go in a step at first, and how far with a matrix, each parameter."""
SKETCHED = 4
"""LR pixels on a side of the crops that the Gauss–Newton matrix is of."""
ROWS, PART = 2048, 512
"""How many crops the first matrix is of, or the number of parameters if that is more; how many of them at a time."""
SHARE = 0.2
"""Weight of each later matrix, of one part, in the mean: whole ones would cost more than the steps."""
EMA_DECAY = 0.997


class CropTrainer:
    """One run, from random weights or from those in `start`. A `rate` of 0 is the family's own. A Trainer."""

    def __init__(
        self,
        spec: ModelSpec,
        source: CropSource,
        seed: int,
        *,
        batch: int,
        crop: int,
        rate: float,
        start: Weights | None = None,
    ) -> None:
        self._spec, self._batch, self._rate = spec, batch, rate or RATES.get(spec.family, RATE)
        self._generator = torch.Generator().manual_seed(seed)
        self._source = source
        self._crops = source.crops(check_size(crop, source, spec.radius), spec.radius)
        self._sketched = source.crops(check_size(SKETCHED + 2 * spec.radius, source, spec.radius), spec.radius)
        # Modules draw their first weights from torch's global generator; whoever else uses it is not to notice.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._module = nets.build_module(dataclasses.replace(spec, padding="zeros"))
        if start is None:
            self._whiten_first()
        else:
            self._module.load_state_dict({name: torch.tensor(tensor) for name, tensor in start.items()})
        self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs miss this one
        self._adam_share = START if start is None else 0.0
        self._parameters = list(self._module.parameters())
        self._average = {name: value.clone() for name, value in self._module.state_dict().items()}
        self._adam = torch.optim.Adam(self._parameters, betas=(0.9, 0.99), fused=True)
        self._sizes = [parameter.numel() for parameter in self._parameters]
        # Networks of one layer have a symmetry that their fused kernels are fast by.
        self._symmetry = symmetry(spec["K"], spec.scale) if spec.family in HEADS else None
        self._newton = NewtonAdam(1, sum(self._sizes), JOURNEY * math.sqrt(sum(self._sizes)))
        self._steps = torch.zeros(())

    def _whiten_first(self) -> None:
        # Pixels of a patch are nearly alike, so that random filters see little but its brightness, and the network
        # begins as good as linear. It has a hard time to leave that; filters of whitened patches start past it.
        first = next(layer for layer in self._module.modules() if isinstance(layer, nn.Conv2d))
        x = self._crops.draw(64, self._generator)[0]
        patches = functional.unfold(x, first.kernel_size).movedim(1, 2).flatten(0, 1)
        noise = torch.randn(first.out_channels, patches.shape[1], generator=self._generator)
        with torch.no_grad():
            filters = noise @ whitening(patches, 1e-3).T / math.sqrt(patches.shape[1])
            first.weight.copy_(filters.view_as(first.weight))

    def step(self, progress: float) -> float:
        """Take one step: Adam first, then Gauss–Newton, both fading to nothing by half a cosine."""
        x, y, weight = self._crops.draw(self._batch, self._generator)
        x = x.contiguous(memory_format=torch.channels_last)
        loss = (weight * (self._inside(self._module(x), self._crops) - y).square()).mean()
        self._module.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        error = float(loss.detach())
        if not math.isfinite(error):
            return error
        fading = 0.5 * (1 + math.cos(math.pi * progress))
        if progress < self._adam_share:
            nn.utils.clip_grad_norm_(self._parameters, 1.0)
            self._adam.param_groups[0]["lr"] = self._rate * min(1.0, 10 * progress / START) * fading
            self._adam.step()
        else:
            self._step_newton(fading)
        self._make_symmetric()
        # Of the first weights, which are random, nothing may stay: never more than a tenth of the steps is averaged.
        self._steps += 1
        share = max(1 - EMA_DECAY, 10 / (float(self._steps) + 9))
        for name, value in self._module.state_dict().items():
            self._average[name].lerp_(value, share)
        return error

    @torch.no_grad()
    def _make_symmetric(self) -> None:
        # Crops come in all positions, so that gradients are symmetric but for noise: their mean over all positions is.
        if self._symmetry is None:
            return
        (filters,) = self._parameters
        by_phase = filters.view(-1, self._spec.scale**2, self._spec["K"] ** 2).movedim(1, 0)
        same = self._symmetry.expand(self._symmetry.average(by_phase.numpy()))
        by_phase.copy_(torch.from_numpy(same))

    def _step_newton(self, fading: float) -> None:
        if self._newton.is_due:
            parts = 1 if self._newton.is_started else -(-max(ROWS, sum(self._sizes)) // PART)
            total = torch.zeros(())
            for _ in range(parts):
                x = self._sketched.draw(PART, self._generator)[0]
                total = total + curvature(
                    lambda crops: self._inside(self._module(crops), self._sketched), self._module, x, self._generator
                )
            self._newton.settle((total / parts)[None], SHARE)
        gradient = torch.cat([p.grad.flatten() for p in self._parameters if p.grad is not None])
        # Long ways are what the first half is for; the second comes to rest.
        longest = LONGEST * min(1.0, 2 * fading)
        change = self._newton.change(gradient[None], NEWTON_RATE * fading, longest)[0]
        with torch.no_grad():
            for parameter, part in zip(self._parameters, torch.split(change, self._sizes), strict=True):
                parameter.add_(part.view_as(parameter))

    def _inside(self, y: Tensor, crops: CropSampler) -> Tensor:
        margin = crops.margin * self._spec.scale
        return y[..., margin:-margin, margin:-margin] if margin else y

    @torch.no_grad()
    def judge(self) -> float:
        """Return the PSNR in dB on the source's held-out part."""
        return self._source.judge(nets.build_module(self._spec, self.weights()), self._spec.scale)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights, averaged over the last steps."""
        return {name: value.numpy().copy() for name, value in self._average.items()}

    def state(self) -> dict[str, Tensor]:
        return {
            **{f"module.{name}": value for name, value in self._module.state_dict().items()},
            **{f"average.{name}": value for name, value in self._average.items()},
            **optimizer_tensors(self._adam),
            **{f"newton.{name}": value for name, value in self._newton.state().items()},
            "steps": self._steps,
            "generator": self._generator.get_state(),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        self._module.load_state_dict({name: state[f"module.{name}"] for name in self._average})
        self._average = {name: state[f"average.{name}"] for name in self._average}
        restore_optimizer(self._adam, state)
        self._newton.restore({name: state[f"newton.{name}"] for name in self._newton.state()})
        self._steps = state["steps"]
        self._generator.set_state(state["generator"])

    def recipe(self, steps: int) -> str:
        first = (
            f"a share of {START} of the steps by Adam (rate {self._rate:g}), the rest" if self._adam_share else "all"
        )
        return (
            f"{steps} steps on {self._batch} crops of {self._crops.size}×{self._crops.size} drawn from "
            f"{self._source.describe()}; {first} by Adam in the coordinates "
            "of the Gauss–Newton matrix (fading, weights averaged); squared error of the inside that no padding reaches"
        )
