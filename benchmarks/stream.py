"""540p → 1080p raw frames over loopback: frames per second, and processor time per frame in client and server.

Real frames (Big Buck Bunny, scaled to 960×540, yuv420p) through a server process and back, for each model in turn,
several times over; medians. Stage times are those that the server reports with every frame.
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

import psutil
from rich.console import Console
from rich.table import Table

import esr_client
from benchmarks.clip import read_frames
from benchmarks.report import write_flat
from benchmarks.serving import Serving, serving

WIDTH, HEIGHT = 960, 540
MODELS = ("bicubic_x2", "esr_tr_x2")


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of all frames through the server."""

    fps: float
    client_cpu_ms: float
    server_cpu_ms: float
    stage_ms: dict[str, float]


def run(client: esr_client.Client, server: psutil.Process, model: str, frames: list[esr_client.Frame]) -> Run:
    """Stream all frames once and account for each: same pts, twice the size."""
    server_before, client_before, started = _cpu_s(server), time.process_time(), time.perf_counter()
    stream = client.upscale(frames, model=model)
    answered = [(frame.pts, frame.width, frame.height) for frame in stream]
    elapsed_s = time.perf_counter() - started
    client_s, server_s = time.process_time() - client_before, _cpu_s(server) - server_before
    assert answered == [(frame.pts, 2 * WIDTH, 2 * HEIGHT) for frame in frames]
    assert stream.statistics is not None
    stages = stream.statistics.stages
    count = len(frames)
    per_stage = {name: getattr(stages, name) / count * 1e3 for name in ("queue", "luma", "chroma")}
    return Run(count / elapsed_s, client_s / count * 1e3, server_s / count * 1e3, per_stage)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(served: Serving, frames: list[esr_client.Frame], repeats: int) -> dict[str, list[Run]]:
    """Interleave the models, so that a slow minute of the machine falls on all of them."""
    server = psutil.Process(served.pid)
    runs: dict[str, list[Run]] = {model: [] for model in MODELS}
    with esr_client.connect(served.target) as client:
        for model in MODELS:
            run(client, server, model, frames[:10])
        for _ in range(repeats):
            for model in MODELS:
                runs[model].append(run(client, server, model, frames))
    return runs


def summary(runs: dict[str, list[Run]]) -> dict[str, float]:
    """One flat object of medians."""
    flat: dict[str, float] = {}
    for model, done in runs.items():
        flat[f"{model}.fps"] = _median(r.fps for r in done)
        flat[f"{model}.client.cpu_ms"] = _median(r.client_cpu_ms for r in done)
        flat[f"{model}.server.cpu_ms"] = _median(r.server_cpu_ms for r in done)
        for stage in done[0].stage_ms:
            flat[f"{model}.{stage}.ms"] = _median(r.stage_ms[stage] for r in done)
    return flat


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def _table(flat: dict[str, float], frames: int, repeats: int) -> Table:
    title = f"960×540 → 1920×1080 yuv420p over loopback, {frames} frames × {repeats}, {os.cpu_count()} processors"
    table = Table("model", "FPS", "client CPU ms", "server CPU ms", "luma ms", "chroma ms", title=title)
    for model in MODELS:
        keys = ("fps", "client.cpu_ms", "server.cpu_ms", "luma.ms", "chroma.ms")
        table.add_row(model, *(f"{flat[f'{model}.{key}']:.1f}" for key in keys))
    return table


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write one flat object of all figures")
    arguments = parser.parse_args()
    frames = read_frames(WIDTH, HEIGHT, arguments.frames)
    with serving(*MODELS) as served:
        flat = summary(measure(served, frames, arguments.repeats))
    Console().print(_table(flat, len(frames), arguments.repeats))
    write_flat(flat, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
