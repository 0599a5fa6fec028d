"""The eight symmetries and what is trained of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from esr_upscale import nets
from esr_upscale.models import resolve
from esr_upscale.models.edge_sr import TENSOR
from esr_workbench.datasets.symmetry import permutations, symmetry


def test_eight_positions() -> None:
    positions = {tuple(p.tolist()) for p in permutations(3)}
    assert len(positions) == 8
    assert permutations(3)[0].tolist() == list(range(9))


@pytest.mark.parametrize(("scale", "orbits"), [(2, (0,)), (3, (0, 1, 4)), (4, (0, 1, 5))])
def test_orbits(scale: int, orbits: tuple[int, ...]) -> None:
    assert symmetry(5, scale).orbits == orbits


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_turned_picture_is_turned_when_expanded(scale: int) -> None:
    # The middle phase of ×3 is its own orbit: only filters that are symmetric themselves keep it so.
    spec, rules = resolve(f"esr_tr_x{scale}"), symmetry(5, scale)
    rng = np.random.default_rng(0)
    filters = rng.normal(0, 0.2, (len(rules.orbits), 3, 2, 25))
    for i, orbit in enumerate(rules.orbits):
        own = [p for p, phase in zip(rules.patch, rules.phase, strict=True) if phase[orbit] == orbit]
        filters[i] = np.mean([filters[i][..., p] for p in own], axis=0)
    phases = np.moveaxis(rules.expand(filters), 0, 2).reshape(spec.tensor_shapes[TENSOR])
    module = nets.build_module(spec, {TENSOR: phases.astype(np.float32)})
    x = torch.rand(1, 1, 7, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for turn in (lambda t: torch.rot90(t, 1, (2, 3)), lambda t: torch.flip(t, (3,)), lambda t: t.transpose(2, 3)):
            torch.testing.assert_close(module(turn(x)), turn(module(x)), rtol=0, atol=1e-5)
