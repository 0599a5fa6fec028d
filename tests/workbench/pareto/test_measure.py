"""Who is timed when, and what is made of it. How long anything takes is not tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from esr_upscale.engine import EngineSettings
from esr_upscale.models import resolve
from esr_workbench.pareto.measure import Job, Size, job, machine_name, measure

SIZE = Size(16, 12)
SETTINGS = EngineSettings(threads=1)


def _scripted(name: str, log: list[str], seconds: list[tuple[float, float]]) -> Job:
    """A job that takes what the script says and writes down that it ran."""
    script = iter(seconds)

    def run() -> tuple[float, float]:
        log.append(name)
        return next(script)

    return Job(resolve(name), "scripted", SIZE, run)


class ScriptedMeter:
    """A meter that says 3 J of everything."""

    name = "scripted"

    def measure(self, work: Callable[[], None]) -> float:
        work()
        return 3.0


def test_models_take_turns_and_medians_count() -> None:
    log: list[str] = []
    first = _scripted("bicubic_x2", log, [(99, 99), (1, 1), (2, 1), (9, 9)])
    second = _scripted("bicubic_x3", log, [(99, 99), (4, 0), (4, 1), (4, 2)])
    steps: list[int] = []
    results = measure([first, second], 3, 0, ScriptedMeter(), lambda: steps.append(len(log)))
    assert log == ["bicubic_x2", "bicubic_x3"] * 4
    assert steps == [3, 4, 5, 6, 7, 8]
    assert [(m.seconds, m.luma_seconds, m.joules) for m in results] == [(3, 2, 3.0), (5, 4, 3.0)]
    assert results[1].fps == 0.2


def test_without_a_meter_there_are_no_joules() -> None:
    assert measure([_scripted("bicubic_x2", [], [(1, 1)] * 2)], 1, 0)[0].joules is None


@pytest.mark.parametrize("name", ["bicubic_x3", "esr_max_x2_k3_c1"])
def test_a_real_model(name: str) -> None:
    model_job = job(resolve(name), SIZE, SETTINGS)
    (result,) = measure([model_job], 1, 0)
    assert (result.backend, result.size) == ("fused", SIZE)
    assert 0 < result.luma_seconds < result.seconds


def test_machine_name(tmp_path: Path) -> None:
    assert machine_name(tmp_path) == "unknown machine"
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n")
    assert machine_name(tmp_path) == "A CPU @ 2 GHz"
    cpu = "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\ncpu family\t: 1\nmodel name\t: B\n"
    (tmp_path / "proc/cpuinfo").write_text(cpu, encoding="utf-8")
    assert machine_name(tmp_path) == "AMD EPYC (family 25, model 17)"
    (tmp_path / "proc/device-tree/model").write_text("A Board\0")
    assert machine_name(tmp_path) == "A Board"
