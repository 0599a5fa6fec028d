"""540p → 1080p raw frames over loopback: frames per second, and processor time per frame in client and server.

Real frames (Big Buck Bunny, scaled to 960×540) through a server process and back, for each model and each kind of frame
in turn, several times over; medians. Stage times are those that the server reports with every frame.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import esr_client
from benchmarks.clip import read_frames
from benchmarks.report import write_flat
from benchmarks.serving import Serving, serving

WIDTH, HEIGHT = 960, 540
MODELS = ("bicubic_x2", "esr_tr_x2")
MODEL_OF_KINDS = "esr_tr_x2"
FORMATS = ("yuv444p", "yuv444p10le", "rgb24", "bgr24", "rgb48le", "bgr48le")
ARRAYS = {"uint8 arrays": "rgb24", "uint16 arrays": "rgb48le"}
"""Arrays (H, W, 3), and the format of their pixels."""

Items: TypeAlias = list[esr_client.Frame] | list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is streamed, and through which model."""

    name: str
    model: str
    items: Items


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of all frames through the server."""

    fps: float
    client_cpu_ms: float
    server_cpu_ms: float
    stage_ms: dict[str, float]


def cases(count: int) -> list[Case]:
    """Return everything that is measured, `count` frames each."""
    usual = read_frames(WIDTH, HEIGHT, count)
    all_cases = [Case(model, model, usual) for model in MODELS]
    of = {name: read_frames(WIDTH, HEIGHT, count, name) for name in FORMATS}
    all_cases += [Case(f"{MODEL_OF_KINDS} {name}", MODEL_OF_KINDS, frames) for name, frames in of.items()]
    for name, fmt in ARRAYS.items():
        pixels = [frame.planes[0].reshape(HEIGHT, WIDTH, 3) for frame in of[fmt]]
        all_cases.append(Case(f"{MODEL_OF_KINDS} {name}", MODEL_OF_KINDS, pixels))
    return all_cases


def run(client: esr_client.Client, server: psutil.Process, case: Case, items: Items) -> Run:
    """Stream items once and account for each: same pts, twice the size."""
    server_before, client_before, started = _cpu_s(server), time.process_time(), time.perf_counter()
    stream: esr_client.UpscaleStream[Any] = client.upscale(items, model=case.model)
    answered = [_pts_and_size(item) for item in stream]
    elapsed_s = time.perf_counter() - started
    client_s, server_s = time.process_time() - client_before, _cpu_s(server) - server_before
    assert answered == [(pts, 2 * width, 2 * height) for pts, width, height in map(_pts_and_size, items)]
    assert stream.statistics is not None
    stages = stream.statistics.stages
    count = len(items)
    per_stage = {name: getattr(stages, name) / count * 1e3 for name in ("queue", "luma", "chroma")}
    return Run(count / elapsed_s, client_s / count * 1e3, server_s / count * 1e3, per_stage)


def _pts_and_size(item: esr_client.Frame | NDArray[Any]) -> tuple[int | None, int, int]:
    """Return the pts, width and height; arrays have no pts."""
    if isinstance(item, esr_client.Frame):
        return item.pts, item.width, item.height
    return None, item.shape[1], item.shape[0]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(served: Serving, all_cases: list[Case], repeats: int) -> dict[str, list[Run]]:
    """Interleave the cases, so that a slow minute of the machine falls on all of them."""
    server = psutil.Process(served.pid)
    runs: dict[str, list[Run]] = {case.name: [] for case in all_cases}
    with esr_client.connect(served.target) as client:
        for case in all_cases:
            run(client, server, case, case.items[:10])
        for _ in range(repeats):
            for case in all_cases:
                runs[case.name].append(run(client, server, case, case.items))
    return runs


def summary(runs: dict[str, list[Run]]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, case_runs in runs.items():
        flat[f"{name}.fps"] = _median(r.fps for r in case_runs)
        flat[f"{name}.client.cpu_ms"] = _median(r.client_cpu_ms for r in case_runs)
        flat[f"{name}.server.cpu_ms"] = _median(r.server_cpu_ms for r in case_runs)
        for stage in case_runs[0].stage_ms:
            flat[f"{name}.{stage}.ms"] = _median(r.stage_ms[stage] for r in case_runs)
    return flat


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def _table(flat: dict[str, float], names: Iterable[str], frames: int, repeats: int) -> Table:
    title = f"960×540 → 1920×1080 over loopback, {frames} frames × {repeats}, {os.cpu_count()} processors"
    table = Table("model", "FPS", "client CPU ms", "server CPU ms", "luma ms", "chroma ms", title=title)
    for name in names:
        keys = ("fps", "client.cpu_ms", "server.cpu_ms", "luma.ms", "chroma.ms")
        table.add_row(name, *(f"{flat[f'{name}.{key}']:.1f}" for key in keys))
    return table


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write one flat object of all figures")
    arguments = parser.parse_args()
    all_cases = cases(arguments.frames)
    with serving(*MODELS) as served:
        flat = summary(measure(served, all_cases, arguments.repeats))
    names = [case.name for case in all_cases]
    Console().print(_table(flat, names, len(all_cases[0].items), arguments.repeats))
    write_flat(flat, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
