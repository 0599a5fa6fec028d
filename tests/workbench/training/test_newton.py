"""The optimiser: it goes straight down valleys in which Adam creeps, and no step is longer than it may be."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from esr_workbench.training.loop import DivergedError
from esr_workbench.training.newton import OLDEST, NewtonAdam


def _problem(seed: int = 0) -> tuple[Tensor, Tensor]:
    # Least squares with inputs nearly alike, as neighbouring pixels are.
    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0, -3, 12)
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    x = torch.randn(4000, 12, generator=generator) * scales @ turn
    return x, x @ (turn.T @ (torch.randn(12, generator=generator) / scales.sqrt()))


def _error(x: Tensor, y: Tensor, weights: Tensor) -> float:
    return float((x @ weights - y).square().mean())


FAR = 1e9
"""Longer than anything goes."""


def test_a_valley() -> None:
    x, y = _problem()
    optimizer, weights = NewtonAdam(1, 12, FAR), torch.zeros(12)
    optimizer.settle((x.T @ x / len(x))[None], 1.0)
    start = _error(x, y, weights)
    for step in range(200):
        gradient = x.T @ (x @ weights - y) / len(x)
        weights = weights + optimizer.change(gradient[None], 0.3 * (1 - step / 200), 2.0)[0]
    adam = torch.zeros(12, requires_grad=True)
    slow = torch.optim.Adam([adam], lr=0.05)
    for _ in range(200):
        slow.zero_grad()
        (x @ adam - y).square().mean().backward()  # type: ignore[no-untyped-call]
        slow.step()
    assert _error(x, y, weights) < 0.002 * start
    assert _error(x, y, weights) < 0.5 * _error(x, y, adam.detach())


def test_no_step_is_longer_than_it_may_be() -> None:
    x, y = _problem()
    optimizer = NewtonAdam(1, 12, FAR)
    optimizer.settle((x.T @ x / len(x))[None], 1.0)
    gradient = -(x.T @ y / len(x))[None]
    change = optimizer.change(gradient, 1e6, 0.1)[0]
    assert float(change.norm()) == pytest.approx(0.1, rel=1e-4)
    assert float((x @ change) @ y) > 0
    assert 0 < float(optimizer.change(gradient, 1e-6, 0.1).norm()) < 0.01


def test_a_step_moves_the_output_by_the_rate() -> None:
    x, y = _problem()
    optimizer = NewtonAdam(1, 12, FAR)
    optimizer.settle((x.T @ x / len(x))[None], 1.0)
    change = optimizer.change(-(x.T @ y / len(x))[None], 1.0, FAR)[0]
    # The first step's momentum is a tenth of the gradient. No direction counts as less noisy than FLOOR of the mean.
    assert 0.1 < float((x @ change).square().mean().sqrt()) < 0.1 * math.sqrt(12) * 1.01


def test_blocks_have_nothing_to_do_with_each_other() -> None:
    problems = [_problem(seed) for seed in (1, 2)]
    curvatures = torch.stack([x.T @ x / len(x) for x, _ in problems])
    gradients = torch.stack([-(x.T @ y / len(x)) for x, y in problems])
    both = NewtonAdam(2, 12, FAR)
    both.settle(curvatures, 1.0)
    together = both.change(gradients, 0.1, FAR)
    for i in range(2):
        alone = NewtonAdam(1, 12, FAR)
        alone.settle(curvatures[i : i + 1], 1.0)
        torch.testing.assert_close(alone.change(gradients[i : i + 1], 0.1, FAR)[0], together[i])


@pytest.mark.parametrize(("longest", "steps"), [(1 / 4, 4), (1 / 8, 8), (1e-5, OLDEST)])
def test_a_matrix_grows_old(longest: float, steps: int) -> None:
    optimizer = NewtonAdam(1, 3, 0.99)
    assert optimizer.is_due
    optimizer.settle(torch.eye(3)[None], 1.0)
    for _ in range(steps):
        assert not optimizer.is_due
        optimizer.change(torch.ones(1, 3), 1e6, longest)
    assert optimizer.is_due
    optimizer.settle(torch.eye(3)[None], 1.0)
    assert not optimizer.is_due


def test_a_matrix_counts_for_its_share() -> None:
    optimizer = NewtonAdam(1, 3, FAR)
    assert not optimizer.is_started
    for factor, mean in [(1.0, 1.0), (3.0, 1.5), (1.5, 1.5)]:
        optimizer.settle(factor * torch.eye(3)[None], 0.25)
        torch.testing.assert_close(optimizer.state()["curvature"][0], mean * torch.eye(3))
    assert optimizer.is_started


def test_a_matrix_that_is_none() -> None:
    with pytest.raises(DivergedError, match="not positive definite"):
        NewtonAdam(1, 3, FAR).settle(torch.full((1, 3, 3), torch.nan), 1.0)


def test_it_goes_on_where_another_was() -> None:
    x, y = _problem()
    first, second = NewtonAdam(1, 12, FAR), NewtonAdam(1, 12, FAR)
    first.settle((x.T @ x / len(x))[None], 1.0)
    gradient = -(x.T @ y / len(x))[None]
    first.change(gradient, 0.1, 0.1)
    second.restore(copy.deepcopy(first.state()))
    assert torch.equal(first.change(gradient, 0.1, 0.1), second.change(gradient, 0.1, 0.1))
