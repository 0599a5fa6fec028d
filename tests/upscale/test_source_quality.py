"""The estimate of a source's quality: near the truth on a photograph, by any codec."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_upscale.source_quality import calibration, estimate, measures_of
from esr_workbench.degradation.damage import damage_of
from esr_workbench.degradation.degrade import Degradation
from esr_workbench.degradation.motion import Motion, moving
from esr_workbench.media.recoding import RECODERS, recode_measured
from tests.support.pictures import photograph

AREA = Degradation(kernel="area")


@pytest.fixture(scope="module")
def pan() -> NDArray[np.uint8]:
    """A pan over a portrait (NASA), (frames, H, W): no picture that the function was fitted to."""
    return moving(photograph("astronaut"), Motion((0.45, 0.7), 0.0, (20.0, 20.0)), 448, 6)


@pytest.fixture(scope="module")
def small(pan: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return AREA.apply(pan, 2, np.random.default_rng(1))


@pytest.mark.parametrize("codec", RECODERS)
def test_near_the_truth(pan: NDArray[np.uint8], small: NDArray[np.uint8], codec: str) -> None:
    recoder, quantizers = RECODERS[codec], []
    for quality in (recoder.best, (recoder.best + recoder.worst) // 2, recoder.worst):
        coded, bits = recode_measured(small, codec, quality)
        quantizer = estimate(coded[0], 8, recoder.codec, bits)
        assert quantizer is not None
        truth = np.mean([damage_of(pan[n], coded[n], AREA, 2, np.random.default_rng(1)) for n in (0, 3, 5)])
        assert quantizer == pytest.approx(truth, abs=4.5)
        quantizers.append(quantizer)
    assert quantizers == sorted(quantizers)
    assert quantizers[2] - quantizers[0] > 4


def test_depth_and_size(small: NDArray[np.uint8]) -> None:
    deep = small[0].astype(np.uint16) * 4
    assert np.allclose(measures_of(small[0], 8, 50_000), measures_of(deep, 10, 50_000))
    for shape in ((32, 32), (33, 201), (1080, 1920)):
        measures = measures_of(np.zeros(shape, np.uint8), 8, 100)
        assert np.isfinite(measures).all()
        assert calibration().least <= (calibration().quantizer("h264", measures) or -1) <= calibration().most


def test_no_estimate_for_tiny_or_other_pictures(small: NDArray[np.uint8]) -> None:
    for shape in ((1, 1), (31, 200)):
        assert estimate(np.zeros(shape, np.uint8), 8, "h264", 800) is None
    assert estimate(small[0], 8, "dnxhd", 80_000) is None
