"""The evaluation protocol against one written a second time, in numpy and float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.errors import InvalidInputError
from esr_upscale.filters import keys_cubic
from esr_upscale.models import ModelSpec, list_models, load_weights, resolve
from esr_workbench.evaluation.pictures import read_luma
from esr_workbench.evaluation.protocol import crop, degrade, psnr
from esr_workbench.evaluation.quality import picture_quality, set_quality
from tests.support.pictures import synthetic_luma

PINNED = {
    "bicubic_x2": 34.281,
    "bicubic_x3": 32.367,
    "bicubic_x4": 29.514,
    "espcn_x2_d10_s15": 34.970,
    "espcn_x2_d10_s15_clean": 34.853,
    "espcn_x3_d10_s15": 33.752,
    "espcn_x3_d10_s15_clean": 33.883,
    "espcn_x4_d10_s15": 32.432,
    "espcn_x4_d10_s15_clean": 32.754,
    "esr_cnn_x2_c2_d1_s3": 34.474,
    "esr_cnn_x2_c2_d1_s3_clean": 34.491,
    "esr_cnn_x2_c2_d7_s3": 34.606,
    "esr_cnn_x2_c2_d7_s3_clean": 34.670,
    "esr_cnn_x2_c4_d9_s9_clean": 34.682,
    "esr_cnn_x3_c2_d1_s3": 33.668,
    "esr_cnn_x3_c2_d1_s3_clean": 33.712,
    "esr_cnn_x3_c2_d7_s3": 33.667,
    "esr_cnn_x3_c2_d7_s3_clean": 33.639,
    "esr_cnn_x3_c4_d9_s9_clean": 33.787,
    "esr_cnn_x4_c2_d1_s3": 31.347,
    "esr_cnn_x4_c2_d1_s3_clean": 30.966,
    "esr_cnn_x4_c2_d7_s3": 31.577,
    "esr_cnn_x4_c2_d7_s3_clean": 31.860,
    "esr_cnn_x4_c4_d9_s9_clean": 32.428,
    "esr_max_x2_k3_c1": 34.407,
    "esr_max_x2_k3_c1_clean": 34.416,
    "esr_max_x2_k5_c2": 34.466,
    "esr_max_x2_k5_c2_clean": 34.510,
    "esr_max_x2_k7_c8_clean": 34.469,
    "esr_max_x3_k3_c1": 32.942,
    "esr_max_x3_k3_c1_clean": 32.923,
    "esr_max_x3_k5_c2": 33.718,
    "esr_max_x3_k5_c2_clean": 33.711,
    "esr_max_x3_k7_c8_clean": 33.765,
    "esr_max_x4_k3_c1": 30.276,
    "esr_max_x4_k3_c1_clean": 30.338,
    "esr_max_x4_k5_c2": 31.254,
    "esr_max_x4_k5_c2_clean": 31.273,
    "esr_max_x4_k7_c8_clean": 31.794,
    "esr_stack_x2_c4_l5": 34.641,
    "esr_stack_x2_c8_l5": 34.692,
    "esr_stack_x2_c8_l8": 34.705,
    "esr_stack_x3_c4_l5": 33.614,
    "esr_stack_x3_c8_l5": 33.808,
    "esr_stack_x4_c4_l5": 31.741,
    "esr_stack_x4_c8_l5": 32.303,
    "esr_tm_x2_k3_c1": 34.407,
    "esr_tm_x2_k3_c1_clean": 34.421,
    "esr_tm_x2_k5_c4": 34.544,
    "esr_tm_x2_k5_c4_clean": 34.579,
    "esr_tm_x2_k7_c8_clean": 34.663,
    "esr_tm_x3_k3_c1": 32.946,
    "esr_tm_x3_k3_c1_clean": 32.893,
    "esr_tm_x3_k5_c4": 33.794,
    "esr_tm_x3_k5_c4_clean": 33.860,
    "esr_tm_x3_k7_c8_clean": 34.018,
    "esr_tm_x4_k3_c1": 30.285,
    "esr_tm_x4_k3_c1_clean": 30.349,
    "esr_tm_x4_k5_c4": 31.235,
    "esr_tm_x4_k5_c4_clean": 31.330,
    "esr_tm_x4_k7_c8_clean": 31.789,
    "esr_tr_x2_k3_c1": 34.406,
    "esr_tr_x2_k3_c1_clean": 34.391,
    "esr_tr_x2_k5_c2": 34.747,
    "esr_tr_x2_k5_c2_clean": 34.659,
    "esr_tr_x2_k7_c8_clean": 35.069,
    "esr_tr_x3_k3_c1": 32.941,
    "esr_tr_x3_k3_c1_clean": 32.894,
    "esr_tr_x3_k5_c2": 33.993,
    "esr_tr_x3_k5_c2_clean": 34.068,
    "esr_tr_x3_k7_c8_clean": 34.401,
    "esr_tr_x4_k3_c1": 30.285,
    "esr_tr_x4_k3_c1_clean": 30.343,
    "esr_tr_x4_k5_c2": 31.389,
    "esr_tr_x4_k5_c2_clean": 31.713,
    "esr_tr_x4_k7_c8_clean": 32.345,
    "fsrcnn_x2_d19_s6_m1": 34.907,
    "fsrcnn_x2_d19_s6_m1_clean": 35.065,
    "fsrcnn_x3_d19_s6_m1": 33.733,
    "fsrcnn_x3_d19_s6_m1_clean": 33.843,
    "fsrcnn_x4_d19_s6_m1": 31.833,
    "fsrcnn_x4_d19_s6_m1_clean": 31.748,
}
"""PSNR in dB on one synthetic picture."""


def _reduce(size: int, scale: int) -> NDArray[np.float64]:
    # Keys' cubic stretched by the scale; at the border what is left of it is brought to a sum of one.
    centres = (np.arange(size // scale) + 0.5) * scale - 0.5
    weights = np.array([[keys_cubic((i - centre) / scale) for i in range(size)] for centre in centres])
    matrix: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return matrix


def _enlarge(size: int, scale: int) -> NDArray[np.float64]:
    matrix = np.zeros((size * scale, size))
    for j in range(size * scale):
        for i in range(-3, size + 3):
            matrix[j, min(max(i, 0), size - 1)] += keys_cubic((j + 0.5) / scale - 0.5 - i)
    return matrix


def _bicubic_psnr(rgb: NDArray[np.uint8], scale: int) -> float:
    luma = 16 + (65.481 * rgb[..., 0] + 128.553 * rgb[..., 1] + 24.966 * rgb[..., 2]) / 255
    height, width = (size // scale * scale for size in luma.shape)
    luma = luma[:height, :width]
    lr = np.clip(np.round(_reduce(height, scale) @ luma @ _reduce(width, scale).T), 0, 255)
    up = _enlarge(lr.shape[0], scale) @ (lr / 255) @ _enlarge(lr.shape[1], scale).T
    error = (np.round(np.clip(up, 0, 1) * 255) - luma)[scale:-scale, scale:-scale]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def _colour(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    return np.stack([synthetic_luma(height, width, seed + i) for i in range(3)], 2)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_evaluation(tmp_path: Path, scale: int) -> None:
    pictures = [_colour(83, 97, seed) for seed in (0, 1)]
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    (tmp_path / "README.txt").write_text("not a picture")
    kernel = torch_kernel.plan(resolve(f"bicubic_x{scale}"), {}, 8)
    expected = np.mean([_bicubic_psnr(picture, scale) for picture in pictures])
    assert set_quality(kernel, scale, tmp_path).psnr == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_degrade(scale: int) -> None:
    luma = crop(synthetic_luma(50, 61) + 0.25, scale)
    exact = _reduce(luma.shape[0], scale) @ luma @ _reduce(luma.shape[1], scale).T
    assert np.array_equal(degrade(luma, scale), np.clip(np.round(exact), 0, 255).astype(np.uint8))


def test_luma(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)).save(tmp_path / "p.png")
    np.testing.assert_allclose(read_luma(tmp_path / "p.png"), [[16, 235, 81.481]], atol=1e-9)


def test_psnr() -> None:
    truth = np.zeros((8, 8))
    off = truth + 1
    off[0] = 99  # shaved
    assert psnr(off, truth, 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(truth, truth, 1) == float("inf")


@pytest.mark.parametrize("spec", list_models(), ids=lambda spec: spec.canonical_id)
def test_pinned_figures(spec: ModelSpec) -> None:
    kernel = torch_kernel.plan(spec, load_weights(spec), 8)
    luma = synthetic_luma(96, 120).astype(np.float64)
    assert picture_quality(kernel, luma, spec.scale).psnr == pytest.approx(PINNED[spec.canonical_id], abs=0.01)


def test_what_cannot_be_judged(tmp_path: Path) -> None:
    kernel = torch_kernel.plan(resolve("bicubic_x2"), {}, 8)
    with pytest.raises(InvalidInputError, match="is not a directory"):
        set_quality(kernel, 2, tmp_path / "missing")
    with pytest.raises(InvalidInputError, match="has no pictures"):
        set_quality(kernel, 2, tmp_path)
    with pytest.raises(InvalidInputError, match="3×3 is too small"):
        picture_quality(kernel, np.zeros((3, 3)), 2)
    (tmp_path / "broken.png").write_bytes(b"PNG?")
    with pytest.raises(InvalidInputError, match=r"broken\.png cannot be read"):
        set_quality(kernel, 2, tmp_path)
