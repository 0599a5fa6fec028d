"""What made a picture small is recognised on photographs that the function was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_upscale.models.nodes import CLEAN, DOWNSCALERS
from esr_upscale.source_downscaler import (
    SMALLEST_PX,
    DownscalerTracker,
    Recognition,
    features_of,
    recognitions,
)
from esr_workbench.degradation.degrade import Degradation
from tests.support.pictures import photograph

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def _small(name: str, way: Degradation) -> NDArray[np.uint8]:
    luma = photograph(name)
    height, width = (side // 2 * 2 for side in luma.shape)
    small: NDArray[np.uint8] = way.apply(luma[None, :height, :width], 2, np.random.default_rng(1))[0]
    return small


def _recognised_names(way: Degradation) -> list[str]:
    return [DownscalerTracker().take(_small(name, way), 8, 0.0) for name in PHOTOGRAPHS]


def test_area_is_recognised() -> None:
    assert _recognised_names(Degradation(kernel="area")).count("area") >= len(PHOTOGRAPHS) - 1


@pytest.mark.parametrize("kernel", DOWNSCALERS["sharp"])
def test_sharp_kernels_are_recognised(kernel: str) -> None:
    names = _recognised_names(Degradation(kernel=kernel))
    assert names.count("sharp") >= len(PHOTOGRAPHS) - 1
    assert "area" not in names


@pytest.mark.parametrize("way", [Degradation(kernel="bilinear"), Degradation(kernel="bicubic", blur_px=0.8)], ids=str)
def test_soft_pictures_do_not_look_like_area(way: Degradation) -> None:
    assert "area" not in _recognised_names(way)


def test_no_estimate_for_poor_or_tiny_sources() -> None:
    small = _small("astronaut", Degradation(kernel="area"))
    assert DownscalerTracker().take(small, 8, 51.0) == ""
    tracker = DownscalerTracker()
    assert tracker.take(small[: SMALLEST_PX - 1], 8, 0.0) == ""
    assert tracker.take(small, 8, 0.0) == "area"
    assert tracker.take(small, 8, 40.0) == ""  # it has become poor


def test_one_picture_does_not_overturn_many() -> None:
    area, sharp = (_small("astronaut", Degradation(kernel=kernel)) for kernel in ("area", "lanczos3"))
    tracker = DownscalerTracker()
    assert {tracker.take(area, 8, 0.0) for _ in range(8)} == {"area"}
    assert tracker.take(sharp, 8, 0.0) == "area"
    assert [tracker.take(sharp, 8, 0.0) for _ in range(60)][-1] == "sharp"


def test_a_test_card_is_soon_forgotten() -> None:
    card = (np.indices((224, 224)) // 8).sum(0).astype(np.uint8) % 2 * 219 + 16
    sharp = _small("astronaut", Degradation(kernel="lanczos3"))
    tracker = DownscalerTracker()
    tracker.take(card, 8, 0.0)
    assert [tracker.take(sharp, 8, 0.0) for _ in range(3)][-1] != "area"


def test_depth_and_size() -> None:
    small = _small("astronaut", Degradation(kernel="area"))
    assert np.allclose(features_of(small, 8), features_of(small.astype(np.uint16) * 4, 10))
    for shape in ((32, 32), (33, 201), (1080, 1920)):
        assert np.isfinite(features_of(np.zeros(shape, np.uint8), 8)).all()


def test_expected_gains() -> None:
    gains = np.array([[0.2, -0.1], [-0.2, 0.1]])
    function = Recognition(("a", "b"), np.zeros(1), np.ones(1), np.array([[1.0], [-1.0]]), np.zeros(2), gains)
    assert np.allclose(function.expected_gains_db(np.zeros(2)), 0)
    assert np.allclose(function.expected_gains_db(function.scores(np.array([40.0]))), [0.2, -0.1], atol=0.002)


def test_what_is_shipped() -> None:
    names = list(DOWNSCALERS)
    for quantizer, function in recognitions().items():
        assert function.gains_db.shape == (len(function.names), len(names))
        by_name = dict(zip(function.names, function.gains_db, strict=True))
        assert by_name["area"][names.index("area")] > 0.1
        assert all(by_name[kernel][names.index("area")] < 0 for kernel in DOWNSCALERS["sharp"])
        # Of coded sources the sharp set gains less.
        sharp = [by_name[kernel][names.index("sharp")] for kernel in DOWNSCALERS["sharp"]]
        assert min(sharp) > (0.04 if quantizer == CLEAN else 0.01)
