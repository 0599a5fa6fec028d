"""Training of the one-layer families: eSR-MAX, eSR-TM, eSR-TR.

Such a network sees nothing but the K×K patch around a pixel, so training it is a regression over patches drawn at
random: matrix products, no convolution. Several restarts are trained side by side, in one batched product, because
where such a small network ends depends on where it starts.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esr_upscale.models import ModelSpec
from esr_upscale.models.edge_sr import TENSOR
from esr_upscale.nets.edge_sr import HEADS
from esr_workbench.datasets.symmetry import Symmetry, symmetry
from esr_workbench.datasets.tiles import Patches, Tile, split
from esr_workbench.training.checkpoint import optimizer_tensors, restore_optimizer
from esr_workbench.training.newton import NewtonAdam
from esr_workbench.training.whitening import whitening

BATCH = 8192
RATE = 1e-2
"""The learning rate of Adam, at its peak."""
START = 0.1
"""The share of steps that Adam goes ahead with, from weights too far off for Gauss–Newton."""
NEWTON_RATE, LONGEST, JOURNEY = 1e-3, 0.05, 1.0
"""The peak rate of Gauss–Newton, how far it may go in filters of whitened patches in a step at first, and in all."""
ROWS, LATER, PART = 8192, 2048, 512
"""How many patches the first Gauss–Newton matrices are of, and later ones; and how many of them at a time."""
SHARE = 0.2
"""What a later matrix counts for."""
EMA_DECAY = 0.99
JUDGED = 100_000
"""Held-out patches that restarts are judged on."""


class PatchTrainer:
    """One run. A Trainer."""

    def __init__(self, spec: ModelSpec, tiles: list[Tile], seed: int, restarts: int) -> None:
        self._spec, self._head = spec, HEADS[spec.family]
        self._generator = torch.Generator().manual_seed(seed)
        self._symmetry: Symmetry = symmetry(spec["K"], spec.scale)
        training_tiles, held_out_tiles = split(tiles)
        self._patches = Patches(training_tiles, spec["K"])
        self._held_out_patches = Patches(held_out_tiles, spec["K"]).draw(JUDGED, self._symmetry, self._generator)
        x, y = self._draw(JUDGED)
        self._whiten = whitening(x)
        # Every value channel begins as the best linear filter, disturbed; query and key as noise.
        white = x @ self._whiten
        shape = (restarts, y.shape[1], self._head.groups, spec["C"], white.shape[1])
        filters = 0.1 * torch.randn(shape, generator=self._generator)
        linear = torch.linalg.lstsq(white.double(), y.double()).solution.float()  # (K², orbits)
        filters[:, :, 0] += linear.T[:, None]
        self._filters = filters.requires_grad_()
        self._average = self._filters.detach().clone()
        self._adam = torch.optim.Adam([self._filters], betas=(0.9, 0.99))
        blocks, size = self._filters[:, :, 0, 0, 0].numel(), self._filters[0, 0].numel()
        self._newton = NewtonAdam(blocks, size, JOURNEY)

    def step(self, progress: float) -> float:
        """Take one step and return the error of the average restart. The rate fades by half a cosine."""
        x, y = self._draw(BATCH)
        losses = self._squared_errors(self._filters, x, y).mean(2)
        self._adam.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        error = float(losses.detach().mean())
        if math.isfinite(error):
            fading = 0.5 * (1 + math.cos(math.pi * progress))
            if progress < START:
                self._adam.param_groups[0]["lr"] = RATE * fading
                self._adam.step()
            else:
                self._step_newton(fading)
            self._average.lerp_(self._filters.detach(), 1 - EMA_DECAY)
        return error

    def _step_newton(self, fading: float) -> None:
        if self._newton.is_due:
            self._newton.settle(self._curvatures().flatten(0, 1), SHARE)
        assert self._filters.grad is not None
        gradient, longest = self._filters.grad.flatten(0, 1).flatten(1), LONGEST * min(1.0, 2 * fading)
        change = self._newton.change(gradient, NEWTON_RATE * fading, longest)
        with torch.no_grad():
            self._filters += change.view_as(self._filters)

    def _curvatures(self) -> Tensor:
        # E[JᵀJ] of every restart and orbit, (restarts, orbits, P, P): a filter's row is its patch, times how far the
        # output follows that filter's response.
        total = torch.zeros(*self._filters.shape[:2], *[self._filters[0, 0].numel()] * 2)
        count = LATER if self._newton.is_started else ROWS
        for x in torch.split(self._draw(count)[0], PART):
            white = x @ self._whiten
            z = self._responses(self._filters.detach(), white).requires_grad_()
            (slopes,) = torch.autograd.grad(self._head.choose(z).sum(), z)
            rows = slopes.movedim((0, 1), (3, 4))[..., None] * white[:, None, None]  # (…, PART, groups, C, K²)
            rows = rows.flatten(3)
            total += rows.mT @ rows / count
        return total

    def judge(self) -> float:
        """Return the PSNR in dB of the best restart so far on held-out patches."""
        return float(-10 * self._errors().amin(0).log10().mean())

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights: each orbit's from its best restart."""
        errors = self._errors()
        best = self._average[errors.argmin(0), range(errors.shape[1])]  # (orbits, groups, C, K²)
        phases = self._symmetry.expand((best @ self._whiten.T).numpy())  # (s², groups, C, K²)
        shape = self._spec.tensor_shapes[TENSOR]
        return {TENSOR: np.ascontiguousarray(np.moveaxis(phases, 0, 2)).reshape(shape)}

    def state(self) -> dict[str, Tensor]:
        tensors = {
            "filters": self._filters.detach(),
            "average": self._average,
            "generator": self._generator.get_state(),
        }
        newton = {f"newton.{name}": value for name, value in self._newton.state().items()}
        return tensors | newton | optimizer_tensors(self._adam)

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        self._filters.copy_(state["filters"])
        self._average = state["average"]
        self._generator.set_state(state["generator"])
        self._newton.restore({name: state[f"newton.{name}"] for name in self._newton.state()})
        restore_optimizer(self._adam, state)

    def recipe(self, steps: int) -> str:
        kernel = self._spec["K"]
        return (
            f"Regression over {kernel}×{kernel} patches drawn from the tiles, {steps} steps of {BATCH}: a share of "
            f"{START} by Adam (rate {RATE}), the rest by Adam in the coordinates of the Gauss–Newton matrix (steps "
            f"fading, weights averaged); {len(self._filters)} restarts, the best on held-out pictures kept; one phase "
            "of each symmetry orbit trained, the others its mirror images"
        )

    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        return self._patches.draw(count, self._symmetry, self._generator)

    def _squared_errors(self, filters: Tensor, x: Tensor, y: Tensor) -> Tensor:
        # (restarts, orbits, groups, C, K²), (B, K²), (B, orbits) → (restarts, orbits, B)
        return (self._head.choose(self._responses(filters, x @ self._whiten)) - y.T).square()

    def _responses(self, filters: Tensor, white: Tensor) -> Tensor:
        # → (groups, C, restarts, orbits, B)
        z = filters.flatten(0, 3) @ white.T
        return z.view(*filters.shape[:-1], len(white)).movedim((2, 3), (0, 1))

    @torch.no_grad()
    def _errors(self) -> Tensor:
        parts = zip(*(torch.split(t, 20_000) for t in self._held_out_patches), strict=True)
        return torch.cat([self._squared_errors(self._average, x, y) for x, y in parts], 2).mean(2)
