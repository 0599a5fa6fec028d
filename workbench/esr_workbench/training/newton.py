"""Adam in coordinates that fit the network: the Gauss–Newton matrix turned into an optimiser that bears noise.

J is the derivative of a network's output by its parameters; E[JᵀJ], the Gauss–Newton matrix, says how far the output
moves with every direction of the parameters. With L·Lᵀ = E[JᵀJ] + damping and parameters θ = L⁻ᵀ·z, all directions of z
move the output alike, and Adam, which scales each number on its own, has nothing left to be slow in. The networks of
this project have some hundred to some thousand parameters, so that the whole matrix is affordable.

Gauss–Newton for learning: J. Martens, "New Insights and Perspectives on the Natural Gradient Method", JMLR 21 (2020),
arXiv 1412.1193. Adam: D. P. Kingma, J. Ba, ICLR 2015, arXiv 1412.6980.
"""

from __future__ import annotations

import torch
from torch import Tensor

from esr_workbench.training.loop import DivergedError

DAMPING = 1e-4
"""Added to the matrix's diagonal, as a share of the diagonal's mean."""
MOMENTUM, POWER_DECAY = 0.9, 0.99
FLOOR = 0.1
"""A direction counts as at least this share as noisy as all are on average; the flattest would run away otherwise."""
OLDEST = 200
"""How many steps of any length a matrix is used for at most."""


class NewtonAdam:
    """The optimiser of `blocks` networks of P = `size` parameters each, which have nothing to do with each other.

    The matrix is of the place where it was made, and further off it misleads: once the parameters have gone a way of
    `journey` (Euclidean) with it, a new one is due.
    """

    def __init__(self, blocks: int, size: int, journey: float) -> None:
        self._journey = journey
        self._momentum = torch.zeros(blocks, size)
        self._power = torch.zeros(blocks, size)
        self._curvature = torch.zeros(blocks, size, size)
        self._lower = torch.zeros(blocks, size, size)
        self._counts = torch.zeros(4)  # matrices; steps with the last of them; the way they went; all steps

    @property
    def is_started(self) -> bool:
        return bool(self._counts[0])

    @property
    def is_due(self) -> bool:
        """Return whether a new matrix is needed before the next step."""
        return bool(not self.is_started or self._counts[1] >= OLDEST or self._counts[2] >= self._journey)

    def settle(self, curvature: Tensor, share: float) -> None:
        """Take the coordinates of a Gauss–Newton matrix (blocks, P, P): a `share` of it, the rest of those before it.

        Of the first matrix all is taken. Raises DivergedError when it is not positive definite.
        """
        self._curvature = torch.lerp(self._curvature, curvature, share if self.is_started else 1.0)
        self._counts[0] += 1
        self._lower = _damped_factor(self._curvature)
        self._counts[1:3] = 0

    def change(self, gradient: Tensor, rate: float, longest: float) -> Tensor:
        """Return the change of the parameters (blocks, P) for the gradient of the loss.

        `rate` is Adam's learning rate, in the unit of the network's output: about how far a step moves that with each
        direction of the parameters. No block's change is longer than `longest`.
        """
        self._counts += torch.tensor([0.0, 1.0, 0.0, 1.0])
        self._momentum.lerp_(gradient, 1 - MOMENTUM)
        self._power.lerp_(self._project(gradient).square(), 1 - POWER_DECAY)
        power = self._power / (1 - POWER_DECAY ** float(self._counts[3]))
        noise = torch.maximum(power, FLOOR * power.mean(1, keepdim=True)).clamp_min(1e-38)
        z = self._project(self._momentum) / noise.sqrt()
        change = -rate * _solve(self._lower.mT, z, upper=True)
        change *= (longest / change.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1)
        self._counts[2] += change.norm(dim=1).max()
        return change

    def _project(self, gradient: Tensor) -> Tensor:
        return _solve(self._lower, gradient, upper=False)

    def state(self) -> dict[str, Tensor]:
        """Return the state that `restore` takes."""
        return {
            "momentum": self._momentum,
            "power": self._power,
            "curvature": self._curvature,
            "lower": self._lower,
            "counts": self._counts,
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        # Copied, so that they lie in memory as the optimiser's own did: where they lie decides how products round.
        copies = {name: value.clone(memory_format=torch.contiguous_format) for name, value in state.items()}
        self._momentum, self._power, self._counts = copies["momentum"], copies["power"], copies["counts"]
        self._curvature, self._lower = copies["curvature"], copies["lower"]


def _damped_factor(curvature: Tensor) -> Tensor:
    # L. Solving with it is as good as having L⁻¹, which would cost twice as much to make as L itself.
    matrix = curvature.to(torch.float64, copy=True)
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    diagonal += DAMPING * diagonal.mean(1, keepdim=True).clamp_min(1e-30)
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if failed.any():
        raise DivergedError("the Gauss–Newton matrix is not positive definite; a lower rate may help")
    # Laid out in rows, as a checkpoint gives it back: products of another layout round otherwise.
    factor: Tensor = lower.float().contiguous()
    return factor


def _solve(triangle: Tensor, vectors: Tensor, *, upper: bool) -> Tensor:
    solution: Tensor = torch.linalg.solve_triangular(triangle, vectors[:, :, None], upper=upper)[:, :, 0]
    return solution
