"""compare.png: crops in which each pixel is a square, from the places of the frame that have boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.demo.quality import Comparison
from deploy.demo.sheet import CROP_SIZE, ZOOM, draw_sheet
from tests.support.pictures import synthetic_luma

MARGIN, HEADER = 14, 68


def _sheet(path: Path, error: int) -> NDArray[np.uint8]:
    """Draw a sheet of one frame, where the model is best at the left and differs by `error` elsewhere."""
    luma = synthetic_luma(120, 300)
    original = np.concatenate([luma, np.full((60, 300), 128, np.uint8)])[None]
    player, model = original + np.uint8(5), original + np.uint8(error)
    model[:, 20:80, 10:90] = original[:, 20:80, 10:90]
    player[:, 120:] = model[:, 120:] = original[:, 120:]
    draw_sheet([Comparison("drawn", original, player, model, 2)], "esr_tr_x2", "Drawn here.", path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_crops_are_squares_of_pixels(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path / "compare.png", 5)
    width, height = (side * ZOOM for side in CROP_SIZE)
    left = sheet.shape[1] - MARGIN - width
    last = sheet[HEADER : HEADER + height, left : left + width]
    pixels = last[::ZOOM, ::ZOOM]
    np.testing.assert_array_equal(pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1), last)
    # The crop is that of the frame at the left; a box of two pixels lies on its edge, and a number in its corner.
    inner = sheet[HEADER + 60 : HEADER + 78, MARGIN + 12 : MARGIN + 88]
    np.testing.assert_array_equal(pixels[40:58, 2:78], inner)


def test_model_and_original_alike_without_a_difference(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path / "compare.png", 5)
    width, height = (side * ZOOM for side in CROP_SIZE)
    left = sheet.shape[1] - MARGIN - width
    last, middle = (sheet[HEADER : HEADER + height, x : x + width] for x in (left, left - MARGIN - width))
    np.testing.assert_array_equal(last, middle)
    assert (
        np.abs(last.astype(int) - sheet[HEADER : HEADER + height, left - 2 * (MARGIN + width) :][:, :width]).min() > 0
    )


def test_only_a_gain_is_green(tmp_path: Path) -> None:
    headers = [_sheet(tmp_path / f"{error}.png", error)[:HEADER].astype(int) for error in (5, 9)]
    green = [int(np.sum(header[..., 1] - header[..., 0] > 60)) for header in headers]
    assert green[0] > 0
    assert green[1] == 0
