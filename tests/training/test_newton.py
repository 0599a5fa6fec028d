"""The optimiser: it goes straight down valleys in which Adam creeps, and steps are as long as they are told to be."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from esr_upscale.training.newton import JOURNEY, OLDEST, NewtonAdam


def _problem(seed: int = 0) -> tuple[Tensor, Tensor]:
    # Least squares with inputs nearly alike, as neighbouring pixels are.
    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0, -3, 12)
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    x = torch.randn(4000, 12, generator=generator) * scales @ turn
    return x, x @ (turn.T @ (torch.randn(12, generator=generator) / scales.sqrt()))


def _error(x: Tensor, y: Tensor, weights: Tensor) -> float:
    return float((x @ weights - y).square().mean())


def test_a_valley() -> None:
    x, y = _problem()
    optimizer, weights = NewtonAdam(1, 12), torch.zeros(12)
    optimizer.settle((x.T @ x / len(x))[None])
    start = _error(x, y, weights)
    for step in range(200):
        weights = weights + optimizer.change((x.T @ (x @ weights - y) / len(x))[None], 2 * (1 - step / 200))[0]
    adam = torch.zeros(12, requires_grad=True)
    slow = torch.optim.Adam([adam], lr=0.05)
    for _ in range(200):
        slow.zero_grad()
        (x @ adam - y).square().mean().backward()  # type: ignore[no-untyped-call]
        slow.step()
    assert _error(x, y, weights) < 0.002 * start
    assert _error(x, y, weights) < 0.5 * _error(x, y, adam.detach())


def test_a_step_is_as_long_as_it_is_told() -> None:
    x, y = _problem()
    optimizer = NewtonAdam(1, 12)
    optimizer.settle((x.T @ x / len(x))[None])
    change = optimizer.change(-(x.T @ y / len(x))[None], 0.1)[0]
    assert float(change.norm()) == pytest.approx(0.1, rel=1e-4)
    assert float((x @ change) @ y) > 0


def test_blocks_have_nothing_to_do_with_each_other() -> None:
    problems = [_problem(seed) for seed in (1, 2)]
    curvatures = torch.stack([x.T @ x / len(x) for x, _ in problems])
    gradients = torch.stack([-(x.T @ y / len(x)) for x, y in problems])
    both = NewtonAdam(2, 12)
    both.settle(curvatures)
    together = both.change(gradients, 0.1)
    for i in range(2):
        alone = NewtonAdam(1, 12)
        alone.settle(curvatures[i : i + 1])
        torch.testing.assert_close(alone.change(gradients[i : i + 1], 0.1)[0], together[i])


@pytest.mark.parametrize(("length", "steps"), [(JOURNEY / 4, 4), (JOURNEY / 8, 8), (1e-5, OLDEST)])
def test_a_matrix_grows_old(length: float, steps: int) -> None:
    optimizer = NewtonAdam(1, 3)
    assert optimizer.due
    optimizer.settle(torch.eye(3)[None])
    for _ in range(steps):
        assert not optimizer.due
        optimizer.change(torch.ones(1, 3), length)
    assert optimizer.due
    optimizer.settle(torch.eye(3)[None])
    assert not optimizer.due


def test_it_goes_on_where_another_was() -> None:
    x, y = _problem()
    first, second = NewtonAdam(1, 12), NewtonAdam(1, 12)
    first.settle((x.T @ x / len(x))[None])
    gradient = -(x.T @ y / len(x))[None]
    first.change(gradient, 0.1)
    second.restore(copy.deepcopy(first.state()))
    assert torch.equal(first.change(gradient, 0.1), second.change(gradient, 0.1))
