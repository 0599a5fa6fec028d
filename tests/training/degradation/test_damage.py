"""Damage on the scale of H.264's quantiser, and the clips that a node is trained on."""

from __future__ import annotations

import numpy as np
import pytest

from esr_upscale.media.recoding import recode
from esr_upscale.training.degradation.damage import damage_of, quantizer_of, shares_of
from esr_upscale.training.degradation.degrade import Coding, Degradation
from tests.support.pictures import synthetic_luma


@pytest.mark.parametrize("step", [1, 2, 8, 32])
def test_uniform_quantisation(step: int) -> None:
    """Steps of 1 are those of quantiser 4, and double with every 6."""
    values = np.random.default_rng(step).uniform(0, 255, 200_000)
    error = np.square(np.round(values / step) * step - values).mean()
    assert quantizer_of(float(error)) == pytest.approx(4 + 6 * np.log2(step), abs=0.05)


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
    found = [damage_of(large[2], recode(small, "x264", crf)[2], way, 2, rng) for crf in (18, 28, 36)]
    assert found == sorted(found)
    assert 10 < found[0] < found[2] < 40
    noisy = Degradation(kernel="area", noise=2.0, coding=Coding("x264", 18))
    assert damage_of(large[2], noisy.apply(large, 2, rng)[2], noisy, 2, rng) > 18


def test_what_clips_count_for_a_node() -> None:
    quantizers = np.array([0.0, 3.0, 13.0, 16.5, 20.0, 27.0, 30.0, 44.0])
    assert shares_of(0.0, (0.0, 20.0, 30.0), quantizers).tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert np.allclose(shares_of(20.0, (0.0, 20.0, 30.0), quantizers), [0, 0, 0, 0.5, 1, 0, 0, 0])
    assert np.allclose(shares_of(30.0, (0.0, 20.0, 30.0), quantizers), [0, 0, 0, 0, 0, 4 / 7, 1, 1])
