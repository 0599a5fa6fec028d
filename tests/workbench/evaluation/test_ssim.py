"""SSIM against its definition, window by window in numpy, and against figures that can be worked out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_upscale.errors import InvalidInputError
from esr_workbench.evaluation.ssim import ssim
from tests.support.pictures import synthetic_luma


def _window() -> NDArray[np.float64]:
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    return np.asarray(window / window.sum())


def _by_definition(a: NDArray[Any], b: NDArray[Any], peak: float) -> float:
    """Equation 13 of the paper at each place of the window, with its weighted moments (14 … 16)."""
    weights, values = _window(), []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = (picture[y : y + 11, x : x + 11].astype(np.float64) for picture in (a, b))
            mp, mq = (weights * p).sum(), (weights * q).sum()
            vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
            covariance = (weights * (p - mp) * (q - mq)).sum()
            luminance = (2 * mp * mq + (0.01 * peak) ** 2) / (mp**2 + mq**2 + (0.01 * peak) ** 2)
            structure = (2 * covariance + (0.03 * peak) ** 2) / (vp + vq + (0.03 * peak) ** 2)
            values.append(luminance * structure)
    return float(np.mean(values))


@pytest.mark.parametrize(("peak", "dtype"), [(255.0, np.uint8), (1023.0, np.uint16)])
def test_by_definition(peak: float, dtype: type[np.unsignedinteger[Any]]) -> None:
    factor = int(peak) // 255
    truth = synthetic_luma(26, 31) * (factor + 0.13)
    noise = np.random.default_rng(3).normal(0, 9 * factor, truth.shape)
    noisy = np.clip(np.round(truth + noise), 0, peak).astype(dtype)
    assert ssim(noisy, truth, peak) == pytest.approx(_by_definition(noisy, truth, peak), abs=1e-10)


def test_known_figures() -> None:
    picture = synthetic_luma(24, 24)
    assert ssim(picture, picture) == pytest.approx(1, abs=1e-12)
    # Two flat pictures have no variance: what is left is the comparison of their brightness.
    dark, light = np.full((11, 11), 50), np.full((11, 11), 100)
    c = (0.01 * 255) ** 2
    assert ssim(dark, light) == pytest.approx((2 * 50 * 100 + c) / (50**2 + 100**2 + c), abs=1e-9)


@pytest.mark.parametrize("shape", [(10, 40), (12, 13)])
def test_what_cannot_be_compared(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match="at least 11×11"):
        ssim(np.zeros(shape), np.zeros((10, 40)))
