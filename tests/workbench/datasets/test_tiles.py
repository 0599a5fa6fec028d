"""Tiles: which are drawn how often, and in which range of values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from esr_upscale.errors import InvalidInputError
from esr_workbench.datasets.tiles import FULL_RANGE, Crops, load_tiles
from tests.support.pictures import write_tiles


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Two flat pictures, of the two ends of limited range."""
    for name, value in (("dark_0_0", 16), ("light_0_0", 235)):
        Image.fromarray(np.full((32, 32), value, np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_crops_come_in_both_ranges(flat: Path) -> None:
    x, y, _ = Crops(load_tiles(flat, 2, 5), 8, margin=2).draw(4000, torch.Generator().manual_seed(1))
    values, counts = torch.unique((x[:, 0, 0, 0] * 255).round(), return_counts=True)
    assert values.tolist() == [0, 16, 235, 255]
    assert float(counts[[0, 3]].sum()) / 4000 == pytest.approx(FULL_RANGE, abs=0.03)
    torch.testing.assert_close(x[:, :, 2:-2, 2:-2], y[:, :, ::2, ::2])


def test_tiles_with_emphasis_are_drawn_more_often(flat: Path) -> None:
    tiles = load_tiles(flat, 2, 5, {"li": 3})
    x, _, _ = Crops(tiles, 8, margin=2).draw(4000, torch.Generator().manual_seed(1))
    assert float((x[:, 0, 0, 0] > 0.5).float().mean()) == pytest.approx(0.75, abs=0.03)


def test_an_emphasis_on_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no tile whose name begins with 'photo'"):
        load_tiles(write_tiles(tmp_path), 2, 5, {"drawing": 2.0, "photo": 2.0})
