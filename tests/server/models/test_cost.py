"""What a frame costs, measured and fitted."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from esr_server.app import Server
from esr_server.config import SchedulerSettings
from esr_server.models import pool
from esr_server.models.cost import Cost, MeasuredCost, fit, measure
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.upscaler import Upscaled, Upscaler
from tests.support.frames import noise_planes
from tests.support.server import QUICK
from tests.support.waiting import comes_true


def test_a_line_through_two_frames() -> None:
    cost = fit((1000, 0.003), (3000, 0.005))
    assert (cost.frame_s, cost.pixel_s) == pytest.approx((0.002, 1e-6))
    assert cost.of(10_000) == pytest.approx(0.012)


def test_no_part_is_ever_negative() -> None:
    assert fit((1000, 0.005), (3000, 0.003)) == Cost(0.005, 0.0)
    assert fit((1000, 0.001), (2000, 0.004)).frame_s == 0.0


def _frame(name: str = "yuv420p") -> Frame:
    fmt = pixel_format(name)
    return Frame(fmt, 40, 25, noise_planes(fmt, 40, 25, 0), pts=0)


def test_a_dearer_measurement_needs_confirmation() -> None:
    costs = MeasuredCost(Cost(0.010, 0.0))
    assert not costs.measured(Cost(0.002, 0.0))
    assert costs.current == Cost(0.002, 0.0)
    assert not costs.measured(Cost(0.009, 0.0))
    assert costs.current == Cost(0.002, 0.0)
    assert costs.measured(Cost(0.0085, 0.0))
    assert costs.current == Cost(0.0085, 0.0)


def test_frames_that_take_less_make_a_model_cheaper() -> None:
    costs = MeasuredCost(Cost(0.010, 1e-6))
    for seconds in (*[0.1] * 63, 0.0044):
        costs.upscaled(_frame(), seconds)
    assert costs.current.of(1000) == pytest.approx(0.0044)
    assert costs.current.pixel_s == pytest.approx(4e-7)


def test_slow_or_other_frames_change_no_cost() -> None:
    costs = MeasuredCost(Cost(0.010, 0.0))
    for _ in range(200):
        costs.upscaled(_frame(), 0.5)
        costs.upscaled(_frame("gray"), 0.001)
    assert costs.current == Cost(0.010, 0.0)


async def test_a_model_is_measured_again_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "measure", lambda _: Cost(10.0, 0.0))
    server = Server(dataclasses.replace(QUICK, scheduler=SchedulerSettings(rest_s=0.05)))
    measured = asyncio.Event()
    loop = asyncio.get_running_loop()

    def measure_for_real(upscaler: Upscaler) -> Cost:
        loop.call_soon_threadsafe(measured.set)
        return measure(upscaler)

    server.scheduler.open = lambda: None  # type: ignore[method-assign]
    await server.start()
    served = server.models.get("bicubic_x2")
    assert served.cost.frame_s == 10.0
    monkeypatch.setattr(pool, "measure", measure_for_real)
    del server.scheduler.open
    server.scheduler.open()
    await asyncio.wait_for(measured.wait(), 20)
    assert await comes_true(lambda: served.cost.frame_s != 10.0)  # the measurement that has begun is over
    assert served.cost.of(960 * 540) < 1.0
    await server.stop(0)


def test_measuring_takes_the_least_of_real_calls() -> None:
    now_s = 0.0
    calls: list[int] = []

    class Timed:
        """A test double that takes 1 ms and 10 ns for each pixel, and every other time ten times as long."""

        scale = 2

        def __call__(self, frame: Frame) -> Upscaled:
            nonlocal now_s
            pixels = frame.width * frame.height
            calls.append(pixels)
            now_s += (1e-3 + 1e-8 * pixels) * (10 if calls.count(pixels) % 2 else 1)
            return Upscaled(frame, 0.0, 0.0)

    cost = measure(Timed(), lambda: now_s)  # type: ignore[arg-type]
    assert len(set(calls)) == 2
    assert (cost.frame_s, cost.pixel_s) == pytest.approx((1e-3, 1e-8))
