"""Pictures as luma: BT.601 of limited range, whatever kind of picture it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from esr_upscale.errors import InvalidInputError
from esr_workbench.evaluation.pictures import Range, read_luma

# MATLAB's rgb2ycbcr of double values, times 255: the first column of its documented matrix.
COLOURS = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [100, 150, 200]]], np.uint8)
LUMA = [[16, 235, 81.481, 144.553, 40.966, 16 + (6548.1 + 19282.95 + 4993.2) / 255]]


def test_colour_of_full_range(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_luma(tmp_path / "a.png"), LUMA, atol=1e-9)


def test_limited_range_has_the_same_luma(tmp_path: Path) -> None:
    """The same colours in samples of limited range have the same luma, but for the rounding of the samples."""
    limited = np.round(16 + COLOURS * (219 / 255)).astype(np.uint8)
    Image.fromarray(limited).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_luma(tmp_path / "a.png", Range.LIMITED), LUMA, atol=0.5)


def test_gray_of_both_ranges(tmp_path: Path) -> None:
    gray = np.array([[16, 17, 126, 235]], np.uint8)
    Image.fromarray(gray).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_luma(tmp_path / "a.png", Range.LIMITED), gray)
    np.testing.assert_allclose(read_luma(tmp_path / "a.png"), 16 + gray * (219 / 255))


def test_gray_is_the_colour_of_equal_samples(tmp_path: Path) -> None:
    gray = np.arange(256, dtype=np.uint8)[None]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(np.stack([gray] * 3, 2)).save(tmp_path / "rgb.png")
    np.testing.assert_allclose(read_luma(tmp_path / "gray.png"), read_luma(tmp_path / "rgb.png"), atol=1e-9)


def test_full_range_is_not_taken_for_limited(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    with pytest.raises(InvalidInputError, match=r"a\.png is not of limited range: 83% of its samples lie outside 16"):
        read_luma(tmp_path / "a.png", Range.LIMITED)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_gray_of_16_bits(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)).save(tmp_path / name)
    np.testing.assert_allclose(read_luma(tmp_path / name), [[16, 16 + 128 * 219 / 255, 235]], atol=1e-9)


def test_transparency_shows_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[0, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_luma(tmp_path / "a.png"), [[16, 235]], atol=1e-9)


def test_palettes(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).quantize(6).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_luma(tmp_path / "a.png"), LUMA, atol=1e-9)


def test_jpeg(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (100, 150, 200)).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(read_luma(tmp_path / "a.jpg"), np.full((16, 16), LUMA[0][5]), atol=1)


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InvalidInputError, match="has floating-point samples"):
        read_luma(tmp_path / "a.tif")
