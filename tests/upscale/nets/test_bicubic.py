"""Bicubic against a plain float64 computation, and the paper's two forms of it against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.filters import Siting, keys_cubic
from esr_upscale.models import resolve
from esr_upscale.nets.bicubic import Bicubic, ZeroInsertBicubic

SITINGS = list(Siting)
DTYPES = {8: np.uint8, 10: np.uint16, 16: np.uint16}


def _matrix(size: int, scale: int, siting: Siting) -> NDArray[np.float64]:
    """(s·size, size): every output sample's weights on every input sample, from the definition."""
    matrix = np.zeros((scale * size, size))
    for j in range(scale * size):
        position = (j + siting.value) / scale - siting.value
        for i in range(-4, size + 4):
            matrix[j, min(max(i, 0), size - 1)] += keys_cubic(position - i)
    return matrix


def _exact(plane: NDArray[np.generic], scale: int, siting_x: Siting, siting_y: Siting) -> NDArray[np.float64]:
    height, width = plane.shape
    vertical, horizontal = _matrix(height, scale, siting_y), _matrix(width, scale, siting_x)
    return vertical @ plane.astype(np.float64) @ horizontal.T


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("siting_x", SITINGS)
@pytest.mark.parametrize("siting_y", SITINGS)
@pytest.mark.parametrize("depth", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (23, 31)])
def test_chroma_kernel(scale: int, siting_x: Siting, siting_y: Siting, depth: int, shape: tuple[int, int]) -> None:
    maximum = 2**depth - 1
    plane = np.random.default_rng(depth).integers(0, maximum + 1, shape).astype(DTYPES[depth])
    actual = torch_kernel.plan_chroma(scale, siting_x, siting_y, depth)(plane)
    exact = np.floor(np.clip(_exact(plane, scale, siting_x, siting_y), 0, maximum) + 0.5)
    assert actual.dtype == plane.dtype
    difference = np.abs(actual.astype(np.int64) - exact)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.97 or plane.size < 100


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_luma_is_centred(scale: int) -> None:
    plane = np.random.default_rng(1).integers(0, 256, (40, 30), np.uint8)
    spec = resolve(f"bicubic_x{scale}")
    luma, chroma = torch_kernel.plan(spec, {}, 8), torch_kernel.plan_chroma(scale, Siting.CENTRED, Siting.CENTRED, 8)
    assert np.array_equal(luma(plane), chroma(plane))
    difference = np.abs(luma(plane).astype(int) - torch_kernel.reference(spec, {}, 8)(plane).astype(int))
    assert difference.max() <= 1


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("siting_x", SITINGS)
@pytest.mark.parametrize("siting_y", SITINGS)
def test_both_forms_of_the_paper(scale: int, siting_x: Siting, siting_y: Siting) -> None:
    x = torch.rand(2, 1, 9, 14, generator=torch.Generator().manual_seed(0))
    shuffled, inserted = Bicubic(scale, siting_y, siting_x)(x), ZeroInsertBicubic(scale, siting_y, siting_x)(x)
    assert shuffled.shape == (2, 1, 9 * scale, 14 * scale)
    torch.testing.assert_close(shuffled, inserted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("siting", SITINGS)
def test_a_ramp_stays_a_ramp(siting: Siting) -> None:
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint16) * 24, (8, 40))
    actual = torch_kernel.plan_chroma(2, siting, Siting.CENTRED, 10)(ramp)[:, 8:-8]
    position = (np.arange(8, 72) + siting.value) / 2 - siting.value
    assert np.abs(actual - position * 24).max() <= 0.5
