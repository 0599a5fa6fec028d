"""Downscalers and Lanczos, held against what they are defined by and against Pillow and torch."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from esr_workbench.degradation.resampling import (
    KERNELS,
    blur_matrix,
    enlarge,
    enlargement_matrix,
    reduction_matrix,
    resample,
)
from esr_workbench.evaluation.protocol import degrade
from tests.support.pictures import synthetic_luma

SCALES = (2, 3, 4)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", SCALES)
def test_rows_sum_to_one_and_are_mirrored(kernel: str, scale: int) -> None:
    for matrix in (reduction_matrix(24 * scale, scale, kernel), enlargement_matrix(24, scale, kernel)):
        assert matrix.sum(axis=1) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_area_is_the_mean(scale: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (8 * scale, 6 * scale))
    rows, columns = (reduction_matrix(length, scale, "area") for length in picture.shape)
    expected = picture.reshape(8, scale, 6, scale).mean(axis=(1, 3))
    np.testing.assert_allclose(resample(picture, rows, columns), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_bicubic_is_that_of_the_protocol(scale: int) -> None:
    luma = synthetic_luma(24 * scale, 30 * scale)
    rows, columns = (reduction_matrix(length, scale, "bicubic") for length in luma.shape)
    ours = np.rint(np.clip(resample(luma, rows, columns), 0, 255))
    inner = slice(4, -4)  # they differ in what lies beyond the edge
    assert np.abs(ours - degrade(luma, scale))[inner, inner].max() <= 1


@pytest.mark.parametrize(
    ("kernel", "pillows"),
    [("bilinear", Image.Resampling.BILINEAR), ("lanczos3", Image.Resampling.LANCZOS)],
)
def test_reduction_agrees_with_pillow(kernel: str, pillows: Image.Resampling) -> None:
    luma = synthetic_luma(64, 80)
    theirs = np.asarray(Image.fromarray(luma).resize((40, 32), pillows)).astype(float)
    rows, columns = (reduction_matrix(length, 2, kernel) for length in luma.shape)
    inner = slice(4, -4)
    assert np.abs(resample(luma, rows, columns) - theirs)[inner, inner].max() <= 1.01


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos4", "spline36"])
def test_a_ramp_stays_a_ramp(kernel: str) -> None:
    ramp = np.tile(np.arange(40.0), (20, 1))
    large = enlarge(ramp, 2, kernel)
    expected = (np.arange(80) + 0.5) / 2 - 0.5
    tolerance = 0.02 if kernel == "lanczos4" else 1e-3  # Lanczos reproduces constants only
    np.testing.assert_allclose(large[10, 10:-10], expected[10:-10], atol=tolerance)


def test_sharpness_aliases() -> None:
    noise = np.random.default_rng(1).normal(0, 10, (96, 96))
    plain, aliased = (
        resample(noise, reduction_matrix(96, 2, "bicubic", s), reduction_matrix(96, 2, "bicubic", s)).std()
        for s in (1.0, 1.3)
    )
    assert aliased > 1.1 * plain


def test_blur_spreads_by_its_sigma() -> None:
    column = blur_matrix(41, 1.5)[:, 20]
    places = np.arange(41) - 20
    assert float((column * places**2).sum() / column.sum()) == pytest.approx(1.5**2, rel=0.02)
