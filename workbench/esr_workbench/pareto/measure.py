"""Timing models on this machine, taking turns, on the backends that serve them."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.errors import InvalidInputError
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.models import ModelSpec, load_weights
from esr_workbench.pareto.power import ROOT, Meter

FORMAT = "yuv420p"
"""The pixel format that is timed: 8 bit, with chroma."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @staticmethod
    def of(text: str) -> Size:
        """Read "960x540". Raises InvalidInputError for anything else, and for sides over 16384."""
        match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip().lower())
        size = Size(int(match[1]), int(match[2])) if match else Size(0, 0)
        if not (1 <= size.width <= 16384 and 1 <= size.height <= 16384):
            raise InvalidInputError(f"{text!r} is not a size as in 960x540, with sides of 1 to 16384")
        return size

    def times(self, scale: int) -> Size:
        return Size(self.width * scale, self.height * scale)

    def over(self, scale: int) -> Size:
        """Return the least size that is upscaled to at least this. Sides are rounded up to multiples of `scale`."""
        return Size(-(-self.width // scale), -(-self.height // scale))

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


@dataclass(frozen=True, slots=True)
class Job:
    """A model that is ready to be timed."""

    spec: ModelSpec
    backend: str
    """What runs it, as the server says it: `torch-cpu`, `fused`, …"""
    size: Size
    """Of the LR frame."""
    run: Callable[[], tuple[float, float]]
    """Upscales one frame and gives the seconds that its luma and its chroma took."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a frame costs a model here."""

    spec: ModelSpec
    backend: str
    size: Size
    """Of the LR frame."""
    seconds: float
    """Of one frame, luma and chroma: the median of its turns."""
    luma_seconds: float
    """Of its luma alone."""
    joules: float | None = None
    """Energy of one frame; None where there is no meter."""

    @property
    def fps(self) -> float:
        return 1 / self.seconds


@dataclass(frozen=True, slots=True)
class _Turn:
    frames: int
    luma: float
    chroma: float
    joules: float | None


def job(spec: ModelSpec, size: Size, settings: EngineSettings, *directories: Path) -> Job:
    """Open a model as the server opens it, with a frame of noise for it. Raises what opening it raises."""
    model = LoadedModel(spec, load_weights(spec, *directories), settings)
    fmt = pixel_format(FORMAT)
    rng = np.random.default_rng(1)
    shapes = [fmt.plane_shape(i, size.width, size.height) for i in range(len(fmt.planes))]
    planes = tuple(rng.integers(16, 236, shape, np.uint8) for shape in shapes)
    frame = Frame(fmt, size.width, size.height, planes)

    def run() -> tuple[float, float]:
        result = model.upscaler(frame)
        return result.luma_s, result.chroma_s

    return Job(spec, model.backend, size, run)


def measure(
    jobs: Sequence[Job],
    rounds: int,
    turn_s: float,
    meter: Meter | None = None,
    report: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Time every job once in each of `rounds`, one after the other, so that a slow minute falls on all alike.

    A turn is of as many frames as begin within `turn_s` seconds, at least one. `report` is called after every turn.
    The first frame of each job, for which its kernels are made, is not counted.
    """
    for each in jobs:
        each.run()
    turns_by_job: list[list[_Turn]] = [[] for _ in jobs]
    for _ in range(rounds):
        for each, turns in zip(jobs, turns_by_job, strict=True):
            turns.append(_turn(each, meter, turn_s))
            report()
    results = []
    for each, turns in zip(jobs, turns_by_job, strict=True):
        seconds = statistics.median(turn.luma + turn.chroma for turn in turns)
        luma = statistics.median(turn.luma for turn in turns)
        energies = [turn.joules for turn in turns if turn.joules is not None]
        # Counters move in steps, so all turns together tell more than the median of each.
        joules = sum(energies) / sum(turn.frames for turn in turns) if energies else None
        results.append(Measured(each.spec, each.backend, each.size, seconds, luma, joules))
    return results


def _turn(each: Job, meter: Meter | None, turn_s: float) -> _Turn:
    frames: list[tuple[float, float]] = []

    def work() -> None:
        end = time.perf_counter() + turn_s
        while not frames or time.perf_counter() < end:
            frames.append(each.run())

    joules = None
    if meter:
        joules = meter.measure(work)
    else:
        work()
    luma, chroma = (sum(part) / len(frames) for part in zip(*frames, strict=True))
    return _Turn(len(frames), luma, chroma, joules)


def machine_name(root: Path = ROOT) -> str:
    """Return the name of the board or the CPU, or "unknown machine". A CPU without a number gets family and model."""
    board = root / "proc/device-tree/model"
    if board.is_file():
        return board.read_text(encoding="utf-8").strip("\0\n ")
    cpu = root / "proc/cpuinfo"
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.is_file() else []
    first: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        first.setdefault(key.strip(), value.strip())
    name = first.get("model name", "unknown machine")
    # Virtual machines often say no more than "AMD EPYC", which generations of different speed share.
    if "cpu family" in first and "model" in first and not any(character.isdigit() for character in name):
        return f"{name} (family {first['cpu family']}, model {first['model']})"
    return name
