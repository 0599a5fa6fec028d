"""Meters: how much energy a machine drew while something ran. They read sysfs and NVML, and write nothing.

Each counts all that its part of the machine draws, idle power and other work included. Paths are below a root, so that
another tree can stand in for sysfs.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from esr_upscale.errors import EngineError

ROOT = Path("/")
PERIOD_S = 0.02
"""Seconds between two looks at a meter that shows power only."""

POWERCAP, HWMON = "sys/class/powercap", "sys/class/hwmon"
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")
"""Rails that feed all others of a Jetson board: alone they are its power, and with the others it would count twice."""


class Meter(Protocol):
    """Measures energy."""

    name: str
    """What it is and what it covers."""

    def measure(self, work: Callable[[], None]) -> float:
        """Run `work` and return the joules drawn meanwhile. Raises EngineError when the meter cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The meter of a machine, if it has one, and what there is to say about it."""

    meter: Meter | None
    notes: tuple[str, ...] = ()


def find_meter(device: str = "cpu", root: Path = ROOT) -> Found:
    """Return the first meter that can be read for a model on `device`, "cpu" or "cuda".

    CPUs of Intel and AMD have RAPL, Jetson boards INA power monitors, and GPUs of NVIDIA NVML. Where there is no meter,
    the notes say why.
    """
    notes: list[str] = []
    for search in _SEARCHES[device]:
        result = search(root)
        notes += result.notes
        if result.meter:
            return Found(result.meter, tuple(notes))
    return Found(None, tuple(notes) or (f"no power meter: there is none in {root / POWERCAP} or {root / HWMON}",))


@dataclass(frozen=True, slots=True)
class Counter:
    """Microjoules so far; after `top` it begins again at 0."""

    read: Callable[[], int]
    top: int

    def since(self, start: int) -> int:
        """Return the microjoules since it read `start`, if it began again once at most."""
        microjoules = self.read() - start
        return microjoules if microjoules >= 0 else microjoules + self.top


class CounterMeter:
    """The sum of energy counters. A Meter."""

    def __init__(self, name: str, counters: Sequence[Counter]) -> None:
        self.name = name
        self._counters = counters

    def measure(self, work: Callable[[], None]) -> float:
        starts = [counter.read() for counter in self._counters]
        work()
        return sum(counter.since(start) for counter, start in zip(self._counters, starts, strict=True)) / 1e6


@dataclass(frozen=True, slots=True)
class Rail:
    """One supply. The numbers in its files multiply to microwatts: one of µW, or mV and mA."""

    label: str
    files: tuple[Path, ...]

    def watts(self) -> float:
        return math.prod(_number(file) for file in self.files) / 1e6


class RailMeter:
    """The sum of rails, looked at again and again while the work runs. A Meter."""

    def __init__(self, name: str, rails: Sequence[Rail]) -> None:
        self.name = name
        self._rails = rails

    def measure(self, work: Callable[[], None]) -> float:
        stop = threading.Event()
        with ThreadPoolExecutor(1, "esr-power") as pool:
            samples = pool.submit(self._sample, stop)
            try:
                work()
            finally:
                stop.set()
            return energy(samples.result())

    def _sample(self, stop: threading.Event) -> list[tuple[float, float]]:
        samples = [self._now()]
        while not stop.wait(PERIOD_S):
            samples.append(self._now())
        return [*samples, self._now()]

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), sum(rail.watts() for rail in self._rails)


def energy(samples: Iterable[tuple[float, float]]) -> float:
    """Return the joules under (seconds, watts), with straight lines between them."""
    return sum((t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in pairwise(samples))


def _rapl(root: Path) -> Found:
    # Only packages: the zones below them are part of them, and psys is all of them once more.
    zones = [zone for zone in _entries(root / POWERCAP) if re.fullmatch(r"intel-rapl:\d+", zone.name)]
    packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
    counters = []
    try:
        for file, top in ((zone / "energy_uj", zone / "max_energy_range_uj") for zone in packages):
            _number(file)  # who may not read it should know at once
            counters.append(Counter(partial(_number, file), _number(top)))
    except EngineError as error:
        return Found(None, (f"no power meter of the CPU: {error}",))
    return Found(CounterMeter(f"RAPL, {len(counters)} CPU package(s)", counters) if counters else None)


def _ina(root: Path) -> Found:
    # A board lists its monitors on the I2C bus too, but those are the same ones.
    chips = [chip for chip in _entries(root / HWMON) if _text(chip / "name").startswith("ina")]
    rails = [rail for chip in chips for rail in _rails(chip)]
    rails = [rail for rail in rails if rail.label in WHOLE_BOARD] or rails
    try:
        for rail in rails:
            rail.watts()
    except EngineError as error:
        return Found(None, (f"no power meter of the board: {error}",))
    names = ", ".join(rail.label for rail in rails)
    return Found(RailMeter(f"INA power monitor: {names}", rails) if rails else None)


def _rails(chip: Path) -> Iterable[Rail]:
    # Higher numbers are shunt voltages and sums of an INA3221, not supplies.
    for n in (1, 2, 3):
        power, product = (chip / f"power{n}_input",), (chip / f"in{n}_input", chip / f"curr{n}_input")
        files = next((files for files in (power, product) if all(file.is_file() for file in files)), None)
        if files:
            yield Rail(_text(chip / f"in{n}_label") or f"{chip.name} {n}", files)


def _nvml(root: Path) -> Found:
    del root  # NVML is a library and no file
    try:
        import pynvml
    except ImportError:
        return Found(None, ('no power meter of the GPU without NVML: pip install "edge-sr[power]"',))
    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except pynvml.NVMLError as error:
        return Found(None, (f"no power meter of the GPU: NVML says {error}",))
    counter = Counter(lambda: 1000 * int(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)), 2**64)
    return Found(CounterMeter("NVML, GPU 0", [counter]))


_SEARCHES: dict[str, tuple[Callable[[Path], Found], ...]] = {"cpu": (_rapl, _ina), "cuda": (_nvml, _ina)}


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def _number(file: Path) -> int:
    try:
        return int(file.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise EngineError(f"{file} may not be read; it is often for root only") from error
    except (OSError, ValueError) as error:
        raise EngineError(f"{file} cannot be read: {error}") from error
