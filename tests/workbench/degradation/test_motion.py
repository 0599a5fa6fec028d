"""Windows that move over a picture stay on it, and move as they say."""

from __future__ import annotations

import numpy as np
import pytest

from esr_workbench.degradation.motion import Motion, draw_motion, moving
from tests.support.pictures import synthetic_luma


def test_whole_pixels_are_copies() -> None:
    picture = synthetic_luma(64, 64)
    clip = moving(picture, Motion((2.0, -1.0), 0.0, (3.0, 9.0)), 32, 4)
    for frame in range(4):
        top, left = 3 + 2 * frame, 9 - frame
        np.testing.assert_array_equal(clip[frame], picture[top : top + 32, left : left + 32])


def test_half_a_pixel_lies_between() -> None:
    ramp = np.tile(np.arange(64) * 4, (64, 1)).clip(0, 255).astype(np.uint8)
    clip = moving(ramp, Motion((0.0, 0.5), 0.0, (8.0, 8.0)), 32, 2)
    assert float(np.mean(clip[1].astype(float) - clip[0])) == pytest.approx(2, abs=0.1)


def test_a_zoom_keeps_its_middle() -> None:
    places = Motion((0.0, 0.0), 0.01, (5.0, 5.0)).places(3, 0, 31)
    assert places[15] == pytest.approx(20)
    assert np.diff(places) == pytest.approx(1.03)


@pytest.mark.parametrize("seed", range(40))
def test_windows_stay_on_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = draw_motion((256, 250), 224, 10, rng)
    for axis, length in ((0, 256), (1, 250)):
        for frame in range(10):
            places = motion.places(frame, axis, 224)
            slack = 224 * abs(motion.zoom) * 10 / 2 + 1e-6  # a zoom may look past the edge by so much
            assert places.min() >= -slack
            assert places.max() <= length - 1 + slack


def test_every_kind_is_drawn() -> None:
    rng = np.random.default_rng(1)
    motions = [draw_motion((256, 256), 224, 10, rng) for _ in range(200)]
    rests = [motion for motion in motions if motion.velocity == (0.0, 0.0)]
    whole = [motion for motion in motions if motion not in rests and all(v.is_integer() for v in motion.velocity)]
    zooms = [motion for motion in motions if motion.zoom]
    assert min(len(rests), len(whole), len(zooms)) > 20
