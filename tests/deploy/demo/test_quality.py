"""What the demo measures: PSNR on luma, and crops where a model gains most."""

from __future__ import annotations

import math

import av
import numpy as np
import pytest

from deploy.demo.clip import Shot
from deploy.demo.quality import Comparison, Crop, best_crops, compare, mean_psnr, psnr


def _comparison(name: str = "drawn", count: int = 3) -> Comparison:
    """Return one in which player and model are both 4 code values away from the original."""
    original = np.full((count, 90, 80), 100, np.uint8)
    return Comparison(name, original, original + np.uint8(4), original - np.uint8(4), 2)


def test_psnr() -> None:
    picture = np.full((8, 8), 50, np.uint8)
    assert psnr(picture + np.uint8(5), picture) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(picture, picture) == math.inf


def test_psnr_is_of_luma_without_borders() -> None:
    comparison = _comparison()
    comparison.model[:, 60:] = 0
    comparison.model[:, :2] = 0
    expected = 20 * math.log10(255 / 4)
    assert comparison.psnr_db == pytest.approx((expected, expected))


def test_mean_psnr_counts_shots_alike() -> None:
    short, long = _comparison(count=1), _comparison(count=9)
    long.model[:] = long.original + np.uint8(2)
    player, model = mean_psnr([short, long])
    assert player == pytest.approx(20 * math.log10(255 / 4))
    assert model == pytest.approx(player + 10 * math.log10(4) / 2)


def test_best_crops_find_the_gain() -> None:
    comparison = _comparison()
    model = comparison.model
    model[:, :60] = comparison.player[:, :60]  # no gain and no loss
    model[1, 20:30, 10:22] = 100
    model[1, 41:51, 60:72] = 101
    model[2, 21:30, 10:22] = 100
    best = best_crops(comparison, (12, 10), 2)
    assert best == [Crop(1, 10, 20, 12, 10), Crop(1, 60, 41, 12, 10)]
    assert comparison.psnr_in(best[0]) == pytest.approx((20 * math.log10(255 / 4), math.inf))


def test_best_crops_lie_apart() -> None:
    comparison = _comparison(count=1)
    comparison.model[0, 20:36, 20:40] = 100
    first, second = best_crops(comparison, (12, 10), 2)
    assert abs(first.x - second.x) >= 18 or abs(first.y - second.y) >= 15


def test_best_crops_where_only_one_fits() -> None:
    assert len(best_crops(_comparison(), (70, 50), 2)) == 1


def test_compare_enlarges_by_lanczos(shots: list[Shot]) -> None:
    """Between equal pixels Lanczos changes nothing, and chroma is the model's."""
    originals = shots[0].frames
    flat = [av.VideoFrame.from_ndarray(np.full((72, 72), 90, np.uint8), "yuv420p") for _ in originals]
    upscaled = [av.VideoFrame.from_ndarray(np.full((144, 144), 77, np.uint8), "yuv420p") for _ in originals]
    comparison = compare("first", originals, flat, upscaled)
    assert comparison.scale == 2
    assert comparison.size == (144, 96)
    assert np.unique(comparison.player[:, :96]).tolist() == [90]
    assert np.unique(comparison.player[:, 96:]).tolist() == [77]
    np.testing.assert_array_equal(comparison.original[2], originals[2].to_ndarray())


def test_compare_refuses_other_sizes(shots: list[Shot]) -> None:
    with pytest.raises(ValueError, match="first: the original is"):
        compare("first", shots[0].frames, shots[0].frames, shots[1].frames)
