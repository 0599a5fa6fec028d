"""Meters on a tree of files in the place of sysfs, and on a module in the place of NVML."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from esr_upscale.errors import EngineError
from esr_workbench.pareto.power import find_meter
from tests.workbench.pareto.sysfs import TOP, FakeSysfs


@pytest.fixture
def sysfs(tmp_path: Path) -> FakeSysfs:
    return FakeSysfs(tmp_path)


def _set(zone: Path, energy_uj: int) -> None:
    (zone / "energy_uj").write_text(f"{energy_uj}\n")


def test_a_machine_without_a_meter(tmp_path: Path) -> None:
    result = find_meter("cpu", tmp_path)
    assert result.meter is None
    assert "there is none" in result.notes[0]


def test_rapl_counts_packages_only(sysfs: FakeSysfs) -> None:
    first, second = sysfs.zone("intel-rapl:0", "package-0", 1_000_000), sysfs.zone("intel-rapl:1", "package-1", 5)
    core, psys = sysfs.zone("intel-rapl:0:0", "core", 7), sysfs.zone("intel-rapl:2", "psys", 7)
    meter = find_meter("cpu", sysfs.root).meter
    assert meter
    assert meter.name == "RAPL, 2 CPU package(s)"

    def work() -> None:
        _set(first, 3_500_000)
        _set(second, 500_005)
        _set(core, 10**9)
        _set(psys, 10**9)

    assert meter.measure(work) == pytest.approx(3.0)


def test_rapl_begins_again_at_its_top(sysfs: FakeSysfs) -> None:
    zone = sysfs.zone("intel-rapl:0", "package-0", TOP - 400_000)
    meter = find_meter("cpu", sysfs.root).meter
    assert meter
    assert meter.measure(lambda: _set(zone, 600_000)) == pytest.approx(1.0)


def test_a_meter_that_may_not_be_read_is_told(sysfs: FakeSysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = sysfs.zone("intel-rapl:0", "package-0", 5)
    read = Path.read_text

    def refusing(path: Path, *arguments: Any, **options: Any) -> str:
        # Root, who may run the tests, could read it whatever its mode.
        if path == zone / "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refusing)
    result = find_meter("cpu", sysfs.root)
    assert result.meter is None
    assert result.notes == (
        f"no power meter of the CPU: {zone / 'energy_uj'} may not be read; it is often for root only",
    )


def test_a_meter_that_goes_away_is_an_error(sysfs: FakeSysfs) -> None:
    zone = sysfs.zone("intel-rapl:0", "package-0", 5)
    meter = find_meter("cpu", sysfs.root).meter
    assert meter
    with pytest.raises(EngineError, match="energy_uj cannot be read"):
        meter.measure((zone / "energy_uj").unlink)


def _watts(sysfs: FakeSysfs, monkeypatch: pytest.MonkeyPatch) -> tuple[str, float]:
    # A clock that goes on by a second at each look: the joules are as many times the watts.
    clock = iter(range(10_000))
    looks: list[int] = []

    def tick() -> float:
        looks.append(next(clock))
        return float(looks[-1])

    meter = find_meter("cpu", sysfs.root).meter
    assert meter
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", tick)
        joules = meter.measure(lambda: None)
    return meter.name, joules / (len(looks) - 1)


def test_ina_rails_are_added(sysfs: FakeSysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    rails = {"in1_label": "GPU", "in1_input": 5000, "curr1_input": 400, "in2_label": "CPU", "in2_input": 5000}
    sums = {"in4_input": 9000, "curr4_input": 9000}
    sysfs.chip(0, "ina3221", **rails, curr2_input=1000, **sums)
    sysfs.chip(1, "ina226", power1_input=2_500_000, in1_input=5000, curr1_input=9999)
    sysfs.chip(2, "coretemp", temp1_input=40_000)
    sysfs.chip(3, "BAT0", in1_input=12_000, curr1_input=1000)
    name, watts = _watts(sysfs, monkeypatch)
    assert name == "INA power monitor: GPU, CPU, hwmon1 1"
    assert watts == pytest.approx(2 + 5 + 2.5)


def test_the_rail_of_the_whole_board_is_taken_alone(sysfs: FakeSysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    rails = {"in1_label": "VDD_IN", "in1_input": 5000, "curr1_input": 2000}
    sysfs.chip(0, "ina3221", **rails, in2_label="VDD_CPU", in2_input=5000, curr2_input=700)
    name, watts = _watts(sysfs, monkeypatch)
    assert name == "INA power monitor: VDD_IN"
    assert watts == pytest.approx(10)


class FakeNvml(ModuleType):
    """A double of pynvml with one GPU, which counts 250 mJ at every look, or with none."""

    class NVMLError(Exception):
        """What NVML raises."""

    def __init__(self, gpus: int) -> None:
        super().__init__("pynvml")
        self.gpus, self.millijoules = gpus, 0

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.gpus:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        assert handle == 0
        self.millijoules += 250
        return self.millijoules


def test_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(1))
    meter = find_meter("cuda", tmp_path).meter
    assert meter
    assert meter.measure(lambda: None) == pytest.approx(0.25)


def test_nvml_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(0))
    assert find_meter("cuda", tmp_path).notes == ("no power meter of the GPU: NVML says Driver Not Loaded",)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "edge-sr[power]" in find_meter("cuda", tmp_path).notes[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_nvml_of_a_real_gpu() -> None:
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    meter = find_meter("cuda").meter
    assert meter
    assert meter.measure(lambda: None) >= 0
