"""The estimate of a source's quality: near the truth on a photograph, by any codec, and steady along a stream."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from esr_upscale.frame import Frame, KeyFrame, pixel_format
from esr_upscale.media.recoding import RECODERS, recode_measured
from esr_upscale.source_quality import LEAST_APART, LUMA_SHARE, QualityTracker, calibration, measures_of
from esr_upscale.training.degradation.damage import damage_of
from esr_upscale.training.degradation.degrade import Degradation
from esr_upscale.training.degradation.motion import Motion, moving

GRAY = pixel_format("gray")
AREA = Degradation(kernel="area")


@pytest.fixture(scope="module")
def photograph() -> NDArray[np.uint8]:
    """A pan over a portrait (NASA), (frames, H, W): no picture that the function was fitted to."""
    with Image.open(str(files("skimage") / "data" / "astronaut.png")) as picture:
        luma = np.asarray(picture.convert("L"))
    return moving(luma, Motion((0.45, 0.7), 0.0, (20.0, 20.0)), 448, 6)


@pytest.fixture(scope="module")
def small(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return AREA.apply(photograph, 2, np.random.default_rng(1))


def _frame(luma: NDArray[np.uint8], key: KeyFrame | None) -> Frame:
    return Frame(GRAY, luma.shape[1], luma.shape[0], (luma,), key=key)


@pytest.mark.parametrize("codec", RECODERS)
def test_near_the_truth(photograph: NDArray[np.uint8], small: NDArray[np.uint8], codec: str) -> None:
    recoder, found = RECODERS[codec], []
    for quality in (recoder.best, (recoder.best + recoder.worst) // 2, recoder.worst):
        coded, bits = recode_measured(small, codec, quality)
        key = KeyFrame(recoder.codec, round(bits / LUMA_SHARE))
        estimate = QualityTracker().quantizer_of(_frame(coded[0], key))
        assert estimate is not None
        truth = np.mean([damage_of(photograph[n], coded[n], AREA, 2, np.random.default_rng(1)) for n in (0, 3, 5)])
        assert estimate == pytest.approx(truth, abs=4.5)
        found.append(estimate)
    assert found == sorted(found)
    assert found[2] - found[0] > 4


def test_what_the_client_says_counts(small: NDArray[np.uint8]) -> None:
    tracker = QualityTracker(given=12.0)
    assert tracker.quantizer_of(_frame(small[0], KeyFrame("h264", 90_000))) == 12.0


def test_nothing_is_said_without_key_frames_or_of_other_codecs(small: NDArray[np.uint8]) -> None:
    tracker = QualityTracker()
    assert tracker.quantizer_of(_frame(small[0], None)) is None
    assert tracker.quantizer_of(_frame(small[0], KeyFrame("dnxhd", 90_000))) is None


def test_between_key_frames_it_stands(small: NDArray[np.uint8]) -> None:
    tracker, key = QualityTracker(), KeyFrame("h264", 90_000)
    first = tracker.quantizer_of(_frame(small[0], key))
    assert [tracker.quantizer_of(_frame(small[0], None)) for _ in range(30)] == [first] * 30
    for _ in range(LEAST_APART):  # a change that is hardly one is none
        assert tracker.quantizer_of(_frame(small[0], replace(key, bits=89_000))) == first
    worse = replace(key, bits=75_000)
    second = tracker.quantizer_of(_frame(small[0], worse))
    alone = QualityTracker().quantizer_of(_frame(small[0], worse))
    assert first is not None
    assert second is not None
    assert alone is not None
    assert first < second < alone  # a part of the way
    jump = QualityTracker()
    jump.quantizer_of(_frame(small[0], KeyFrame("h264", 20_000)))
    for _ in range(LEAST_APART):
        jump.quantizer_of(_frame(small[0], None))
    assert jump.quantizer_of(_frame(small[0], key)) == first  # another source: all of the way


def test_not_every_frame_is_measured(small: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[float] = []

    def measure(luma: NDArray[np.uint8], depth: int, bits: float) -> NDArray[np.float64]:
        measured.append(bits)
        return measures_of(luma, depth, bits)

    monkeypatch.setattr("esr_upscale.source_quality.measures_of", measure)
    tracker = QualityTracker()
    for _ in range(3 * LEAST_APART):
        tracker.quantizer_of(_frame(small[0], KeyFrame("mjpeg", 90_000)))
    assert len(measured) == 3


def test_depth_and_size(small: NDArray[np.uint8]) -> None:
    deep = small[0].astype(np.uint16) * 4
    assert np.allclose(measures_of(small[0], 8, 50_000), measures_of(deep, 10, 50_000))
    for shape in ((32, 32), (33, 201), (1080, 1920)):
        measures = measures_of(np.zeros(shape, np.uint8), 8, 100)
        assert np.isfinite(measures).all()
        assert calibration().least <= (calibration().quantizer("h264", measures) or -1) <= calibration().most


def test_nothing_is_said_of_tiny_pictures() -> None:
    for shape in ((1, 1), (31, 200)):
        assert QualityTracker().quantizer_of(_frame(np.zeros(shape, np.uint8), KeyFrame("h264", 900))) is None
