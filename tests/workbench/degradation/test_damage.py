"""Damage on the scale of x264's CRF, and the clips that a node is trained on."""

from __future__ import annotations

import numpy as np
import pytest

from esr_upscale.models.nodes import CLEAN, WORST
from esr_workbench.degradation.damage import (
    DOUBLING,
    LEAST_DAMAGE,
    LEAST_DETAIL,
    damage_maps,
    damage_of,
    damage_of_window,
    quantizer_of,
    shares_of,
)
from esr_workbench.degradation.degrade import Coding, Degradation
from esr_workbench.media.recoding import recode
from tests.support.pictures import synthetic_luma


@pytest.mark.parametrize("detail", [20_000.0, 80_000.0])
def test_the_scale(detail: float) -> None:
    """An error as large as the detail is the worst, and each halving counts the same for every picture."""
    whole = detail + LEAST_DETAIL
    assert quantizer_of(whole, detail) == WORST == quantizer_of(9 * whole, detail)
    steps = [quantizer_of(whole / 2**halved, detail) for halved in range(8)]
    assert np.diff(steps) == pytest.approx(-DOUBLING)
    assert quantizer_of(0, detail) == CLEAN
    assert quantizer_of(whole / 2**20, detail) == LEAST_DAMAGE > CLEAN


@pytest.mark.parametrize("step", [2, 8, 32])
def test_the_quantiser_is_the_most_for_smooth_pictures(step: int) -> None:
    """Steps of 1 are those of quantiser 4, and double with every 6."""
    values = np.random.default_rng(step).uniform(0, 255, 200_000)
    error = float(np.square(np.round(values / step) * step - values).mean())
    assert quantizer_of(error, 0.0) == pytest.approx(4 + 6 * np.log2(step), abs=0.05)


def test_what_was_never_damaged() -> None:
    large = synthetic_luma(96, 128)
    for way in (
        Degradation(kernel="area"),
        Degradation(kernel="bicubic", sharpness=1.2),
        Degradation(kernel="lanczos3", blur_px=0.7),
    ):
        small = way.apply(large[None], 2, np.random.default_rng(1))[0]
        assert damage_of(large, small, way, 2, np.random.default_rng(2)) == 0


def test_coding_and_noise() -> None:
    rng = np.random.default_rng(1)
    large = np.stack([np.roll(synthetic_luma(192, 256), 2 * n, 1) for n in range(4)])
    way = Degradation(kernel="area")
    small = way.apply(large, 2, rng)
    damages = [damage_of(large[2], recode(small, "x264", crf)[2], way, 2, rng) for crf in (18, 28, 36)]
    assert damages == pytest.approx([18, 28, 36], abs=4)
    noisy = Degradation(kernel="area", noise=2.0, coding=Coding("x264", 18))
    assert damage_of(large[2], noisy.apply(large, 2, rng)[2], noisy, 2, rng) > 18


def test_a_window_is_measured_without_its_neighbours() -> None:
    """A smooth window next to noise is as smooth as alone."""
    rng = np.random.default_rng(1)
    smooth = np.tile(np.linspace(40, 200, 96), (96, 1)).astype(np.uint8)
    noise = rng.integers(0, 256, (96, 96), np.uint8)
    large, way = np.concatenate([noise, smooth, noise], 1), Degradation(kernel="area", noise=2.0)
    small = way.apply(large[None], 2, rng)[0]
    alone = damage_of(smooth, small[:, 48:96], way, 2, rng)
    assert damage_of_window(damage_maps(large, small, way, 2, rng), 0, 1, 48) == pytest.approx(alone, abs=0.7)


def test_what_clips_count_for_a_node() -> None:
    quantizers = np.array([0.0, 3.0, 9.5, 11.5, 20.0, 25.0, 28.0, 29.0, 44.0])
    nodes = (0.0, 20.0, 30.0)
    assert shares_of(0.0, nodes, quantizers).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert shares_of(20.0, nodes, quantizers).tolist() == [0, 0, 0.5, 1, 1, 1, 0.25, 0, 0]
    assert shares_of(30.0, nodes, quantizers).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
