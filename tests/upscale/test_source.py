"""What is known of a stream's source: measured at key frames, steady along the stream, as the client says it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_upscale.frame import Frame, KeyFrame, pixel_format
from esr_upscale.models import Source
from esr_upscale.source import LEAST_APART, UNMARKED_APART, SourceTracker
from esr_upscale.source_downscaler import features_of
from esr_upscale.source_quality import measures_of
from esr_workbench.degradation.degrade import Degradation
from tests.support.pictures import photograph

KEY = KeyFrame("h264", 90_000)


@pytest.fixture(scope="module")
def small() -> NDArray[np.uint8]:
    """A portrait made small by area, 224×224 luma."""
    luma = photograph("astronaut")[None, 20:468, 20:468]
    picture: NDArray[np.uint8] = Degradation(kernel="area").apply(luma, 2, np.random.default_rng(1))[0]
    return picture


def _frame(luma: NDArray[np.uint8], key: KeyFrame | None, name: str = "gray") -> Frame:
    fmt = pixel_format(name)
    plane = luma if name == "gray" else np.repeat(luma, 3, axis=1)
    return Frame(fmt, luma.shape[1], luma.shape[0], (plane,), key=key)


def _quantizer(tracker: SourceTracker, luma: NDArray[np.uint8], key: KeyFrame | None) -> float | None:
    source = tracker.source_of(_frame(luma, key))
    return source.quantizer if source else None


def test_what_the_client_says_counts(small: NDArray[np.uint8]) -> None:
    assert _quantizer(SourceTracker(known_quantizer=12.0), small, KEY) == 12.0


def test_no_estimate_without_key_frames(small: NDArray[np.uint8]) -> None:
    tracker = SourceTracker()
    assert tracker.source_of(_frame(small, None)) is None
    assert tracker.source_of(_frame(small, KeyFrame("dnxhd", 90_000))) is None


def test_between_key_frames_it_stands(small: NDArray[np.uint8]) -> None:
    tracker = SourceTracker()
    first = _quantizer(tracker, small, KEY)
    assert [_quantizer(tracker, small, None) for _ in range(30)] == [first] * 30
    for _ in range(LEAST_APART):  # a change that is hardly one is none
        assert _quantizer(tracker, small, replace(KEY, bits=89_000)) == first
    worse = replace(KEY, bits=75_000)
    second = _quantizer(tracker, small, worse)
    alone = _quantizer(SourceTracker(), small, worse)
    assert first is not None
    assert second is not None
    assert alone is not None
    assert first < second < alone  # a part of the way


def test_another_source_is_followed_at_once(small: NDArray[np.uint8]) -> None:
    tracker = SourceTracker()
    poor = _quantizer(tracker, small, KeyFrame("h264", 20_000))
    for _ in range(LEAST_APART):
        _quantizer(tracker, small, None)
    good = _quantizer(tracker, small, KEY)
    assert poor is not None
    assert good is not None
    assert poor > good + 10
    assert good == _quantizer(SourceTracker(), small, KEY)


def test_not_every_frame_is_measured(small: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def measure(luma: NDArray[np.uint8], depth: int, bits: float) -> NDArray[np.float64]:
        calls.append(bits)
        return measures_of(luma, depth, bits)

    monkeypatch.setattr("esr_upscale.source_quality.measures_of", measure)
    tracker = SourceTracker()
    for _ in range(3 * LEAST_APART):
        tracker.source_of(_frame(small, KeyFrame("mjpeg", 90_000)))
    assert len(calls) == 3


@pytest.mark.parametrize("name", ["gray", "rgb24"])
def test_the_downscaler_of_raw_frames(small: NDArray[np.uint8], name: str) -> None:
    tracker = SourceTracker(known_quantizer=0.0)
    assert tracker.source_of(_frame(small, None, name)) == Source(0.0, "area")


def _looks(tracker: SourceTracker, frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of the frames that are looked at."""
    looked: list[int] = []

    def look(luma: NDArray[np.uint8], depth: int) -> NDArray[np.float64]:
        looked.append(len(sources))
        return features_of(luma, depth)

    monkeypatch.setattr("esr_upscale.source_downscaler.features_of", look)
    sources: list[Source | None] = []
    for frame in frames:
        sources.append(tracker.source_of(frame))
    return looked


def test_raw_frames_are_looked_at_now_and_then(small: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [_frame(small, None)] * (UNMARKED_APART + 2)
    assert _looks(SourceTracker(known_quantizer=0.0), frames, monkeypatch) == [0, UNMARKED_APART]


def test_a_decoder_is_looked_at_at_key_frames_only(small: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [_frame(small, KEY if n in (0, 60) else None) for n in range(70)]
    assert _looks(SourceTracker(known_quantizer=0.0), frames, monkeypatch) == [0, 60]


def test_another_size_is_another_source(small: NDArray[np.uint8]) -> None:
    tracker = SourceTracker(known_quantizer=0.0)
    for _ in range(4 * UNMARKED_APART):
        tracker.source_of(_frame(small, None))
    luma = photograph("astronaut")[None, 20:308, 20:468]
    sharp = Degradation(kernel="lanczos3").apply(luma, 2, np.random.default_rng(1))[0]
    sources = [tracker.source_of(_frame(sharp, None)) for _ in range(UNMARKED_APART)]
    assert sources[-1] == Source(0.0, "sharp")
