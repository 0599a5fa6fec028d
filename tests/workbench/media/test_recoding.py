"""Clips through real encoders: every codec of the table, at both ends of its range."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_upscale.errors import InvalidInputError
from esr_workbench.media.recoding import RECODERS, recode
from tests.support.pictures import synthetic_luma
from tests.support.threads import policies


@pytest.fixture(scope="module")
def clip() -> NDArray[np.uint8]:
    """A picture that moves."""
    luma = synthetic_luma(96, 160)
    return np.stack([np.roll(luma, 2 * frame, axis=1) for frame in range(6)])


def _psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b).mean()))


@pytest.mark.parametrize(("codec", "preset"), [(c, p) for c, row in RECODERS.items() for p in range(len(row.presets))])
def test_quality_falls_over_the_range(clip: NDArray[np.uint8], codec: str, preset: int) -> None:
    row = RECODERS[codec]
    best, worst = (recode(clip, codec, quality, preset) for quality in (row.best, row.worst))
    assert best.shape == worst.shape == clip.shape
    assert _psnr(best, clip) > max(34.0, _psnr(worst, clip) + 2)


def test_no_thread_takes_real_time_priority(clip: NDArray[np.uint8]) -> None:
    recode(clip, "av1", 40)  # SVT-AV1 gives it to whoever opens it, where root runs it
    assert policies() == {os.SCHED_OTHER}


def test_what_cannot_be_encoded(clip: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidInputError, match="unknown codec 'h266'; choose one of x264"):
        recode(clip, "h266", 20)
    with pytest.raises(InvalidInputError, match="even width and height, not 161x96"):
        recode(np.zeros((2, 96, 161), np.uint8), "x264", 20)
