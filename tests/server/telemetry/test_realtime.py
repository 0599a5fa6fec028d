"""How far streams keep their rate."""

from __future__ import annotations

import pytest

from esr_server.telemetry.realtime import WINDOW_S, RateTrackers


class Clock:
    """A clock that is moved by hand."""

    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_the_ratio_is_media_time_over_time() -> None:
    clock, frames = Clock(), list[tuple[str, bool]]()
    real_time = RateTrackers(clock)
    assert real_time.ratio() == 1.0

    def note(model: str, late: bool) -> None:
        frames.append((model, late))

    with real_time.stream(25.0, note) as paced, real_time.stream(None, note):
        for number in range(100):  # 12.5 frames a second
            clock.now_s += 0.08
            paced.delivered("m", late=number == 7)
        assert real_time.ratio() == pytest.approx(0.5, abs=0.02)
    assert len(frames) == 100
    assert [number for number, (_, late) in enumerate(frames) if late] == [7]
    assert real_time.ratio() == 1.0


def test_what_leaves_the_window_is_forgotten_unasked() -> None:
    clock = Clock()
    with RateTrackers(clock).stream(100.0, lambda *_: None) as paced:
        for _ in range(5000):
            clock.now_s += 0.01
            paced.delivered("m", late=False)
        assert len(paced._delivered_s) <= WINDOW_S * 100 + 1
