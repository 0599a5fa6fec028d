"""What a frame costs, measured and fitted."""

from __future__ import annotations

import pytest

from esr_server.costs import Cost, fit, measure
from esr_upscale.frame import Frame
from esr_upscale.upscaler import Upscaled


def test_a_line_through_two_frames() -> None:
    cost = fit((1000, 0.003), (3000, 0.005))
    assert (cost.frame_s, cost.pixel_s) == pytest.approx((0.002, 1e-6))
    assert cost.of(10_000) == pytest.approx(0.012)


def test_no_part_is_ever_negative() -> None:
    assert fit((1000, 0.005), (3000, 0.003)) == Cost(0.005, 0.0)
    assert fit((1000, 0.001), (2000, 0.004)).frame_s == 0.0


def test_measuring_times_real_calls_and_takes_the_least() -> None:
    now_s = 0.0
    calls: list[int] = []

    class Upscaler:
        """A test double that takes 1 ms and 10 ns for each pixel, and every other time ten times as long."""

        scale = 2

        def __call__(self, frame: Frame) -> Upscaled:
            nonlocal now_s
            pixels = frame.width * frame.height
            calls.append(pixels)
            now_s += (1e-3 + 1e-8 * pixels) * (10 if calls.count(pixels) % 2 else 1)
            return Upscaled(frame, 0.0, 0.0)

    cost = measure(Upscaler(), lambda: now_s)  # type: ignore[arg-type]
    assert len(set(calls)) == 2
    assert (cost.frame_s, cost.pixel_s) == pytest.approx((1e-3, 1e-8))
