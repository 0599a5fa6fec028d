"""The fused kernels against their peers, on one luma plane: milliseconds, and the share of a large sgemm's GFLOP/s.

The plane is a frame of Big Buck Bunny. Everything is run in turn, round after round, so that a slow minute of the
machine falls on all; figures are medians over the rounds. A round of sgemm, 2048³, comes with every model.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import peers
from benchmarks.clip import read_frames
from benchmarks.peers import FILTERS, FUSED, NETWORKS, AbsentError, Peer, Run
from benchmarks.report import write_flat
from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.models import ModelSpec, list_models, resolve

SGEMM = 2048
SMALL = "esr_max_x2_k3_c1"
"""The smallest network, which is compared with fixed filters too."""
AT_LEAST_S = 0.05
"""A turn repeats what is shorter until it has taken this long."""
REST_S = 0.25
"""Before a turn: the threads of the one before, torch's above all, wait busily for more work for a while."""
WARM_S = 0.1
"""Then what is timed runs for so long untimed: processors that rested, virtual ones above all, begin slowly."""


@dataclass(slots=True)
class Series:
    """One thing that is timed, and its milliseconds so far."""

    key: str
    run: Run
    ms: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Time it once more, on threads and processors that are awake."""
        time.sleep(REST_S)
        self._repeat(WARM_S)
        self.ms.append(self._repeat(AT_LEAST_S) * 1e3)

    def _repeat(self, at_least_s: float) -> float:
        """Run it, again and again if it is short; seconds of one run."""
        started_s, count = time.perf_counter(), 0
        while True:
            self.run()
            count += 1
            elapsed_s = time.perf_counter() - started_s
            if elapsed_s >= at_least_s:
                return elapsed_s / count


def _series(key: str, peer: Peer, spec: ModelSpec, plane: NDArray[np.uint8], threads: int) -> Iterable[Series]:
    try:
        run = peer.make(spec, plane, threads)
    except AbsentError as reason:
        Console(stderr=True).print(f"{key}: left out, {reason}")
        return
    run()
    yield Series(key, run)


def series_of(spec: ModelSpec, plane: NDArray[np.uint8], threads: int, others: bool) -> list[Series]:
    """Time a model: its kernel on one thread, on all, and on a plane four times as large; its peers."""
    name = spec.alias or spec.canonical_id
    large = np.tile(plane, (2, 2))
    series = [
        *_series(f"{name}.fused.ms", FUSED, spec, plane, threads),
        *_series(f"{name}.fused.one_thread.ms", FUSED, spec, plane, 1),
        *_series(f"{name}.fused.large.ms", FUSED, spec, large, threads),
    ]
    if others:
        known = NETWORKS if spec.tensor_shapes else ()
        for peer in (*known, *(FILTERS if name in (SMALL, "bicubic_x2", "bicubic_x3", "bicubic_x4") else ())):
            series += _series(f"{name}.{peer.name}.ms", peer, spec, plane, threads)
    return series


def measure(
    specs: list[ModelSpec], plane: NDArray[np.uint8], threads: int, rounds: int, others: bool
) -> dict[str, float]:
    flat: dict[str, float] = {}
    gemms = {t: Series(f"sgemm.{t}", peers.sgemm(SGEMM, t)[0]) for t in {1, threads}}
    operations = peers.sgemm(SGEMM, 1)[1]
    for spec in specs:
        series = series_of(spec, plane, threads, others)
        for _ in range(rounds):
            for one in (*gemms.values(), *series):
                one.turn()
        flat |= {one.key: round(statistics.median(one.ms), 3) for one in series}
        flat |= _shares(spec, flat, plane.size, operations, {t: gemms[t].ms[-rounds:] for t in gemms}, threads)
    flat["sgemm.gflops"] = round(operations / statistics.median(gemms[threads].ms) * 1e3, 1)
    flat["sgemm.one_thread.gflops"] = round(operations / statistics.median(gemms[1].ms) * 1e3, 1)
    return flat


def _shares(
    spec: ModelSpec, flat: dict[str, float], pixels: int, operations: float, gemms: dict[int, list[float]], threads: int
) -> dict[str, float]:
    # Against the sgemm of the same minutes: the machine's speed drifts.
    name, work = spec.alias or spec.canonical_id, 2 * spec.macs * pixels / 1e9
    rates = {t: operations / statistics.median(ms) for t, ms in gemms.items()}
    return {
        f"{name}.fused.gflops": round(work / flat[f"{name}.fused.ms"] * 1e3, 1),
        f"{name}.fused.share": round(work / flat[f"{name}.fused.ms"] / rates[threads], 3),
        f"{name}.fused.one_thread.share": round(work / flat[f"{name}.fused.one_thread.ms"] / rates[1], 3),
        f"{name}.fused.speedup": round(flat[f"{name}.fused.one_thread.ms"] / flat[f"{name}.fused.ms"], 3),
        f"{name}.fused.large.ratio": round(flat[f"{name}.fused.large.ms"] / 4 / flat[f"{name}.fused.ms"], 3),
    }


def whole_frame(width: int, height: int, threads: int, rounds: int) -> dict[str, float]:
    """Bicubic ×2 of a whole yuv420p frame, ours and swscale's."""
    planes = read_frames(width, height, 1)[0].planes
    model = LoadedModel(resolve("bicubic_x2"), {}, EngineSettings(threads=threads))
    frame = Frame(pixel_format("yuv420p"), width, height, tuple(planes))
    theirs = av.VideoFrame.from_ndarray(np.concatenate([p.ravel() for p in planes]).reshape(-1, width), "yuv420p")
    pair = [
        Series("bicubic_x2.fused.yuv420p.ms", lambda: model.upscaler(frame)),
        Series("bicubic_x2.swscale.yuv420p.ms", peers.swscale(theirs, 2, threads)),
    ]
    for _ in range(3 * rounds):
        for one in pair:
            one.turn()
    return {one.key: round(statistics.median(one.ms), 3) for one in pair}


def load_seconds(names: Iterable[str], threads: int) -> dict[str, float]:
    """Return the seconds until a model's kernel is ready, in a process of its own, libraries imported before."""
    code = (
        "import sys, time, halide\n"
        "from esr_upscale.models import load_weights, resolve\n"
        "from esr_upscale.backends.halide.kernel import plan\n"
        "spec = resolve(sys.argv[1]); weights = load_weights(spec); started = time.perf_counter()\n"
        "plan(spec, weights, 8, int(sys.argv[2]))\n"
        "print(time.perf_counter() - started)\n"
    )
    seconds = {}
    for name in names:
        command = [sys.executable, "-c", code, name, str(threads)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds[f"{name}.load.s"] = round(float(result.stdout), 2)
    return seconds


def _table(flat: dict[str, float], names: list[str], title: str) -> Table:
    columns = ["fused", *(peer.name for peer in (*NETWORKS, *FILTERS))]
    table = Table("model", *(f"{column} ms" for column in columns), "share", "best ÷ fused", title=title)
    for name in names:
        times_ms = {column: flat[f"{name}.{column}.ms"] for column in columns if f"{name}.{column}.ms" in flat}
        networks = [times_ms[peer.name] for peer in NETWORKS if peer.name in times_ms]
        faster = f"{min(networks) / times_ms['fused']:.1f} ×" if networks else ""
        cells = [f"{times_ms[column]:.2f}" if column in times_ms else "" for column in columns]
        table.add_row(name, *cells, f"{flat[f'{name}.fused.share']:.2f}", faster)
    return table


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", help="default: every default model, and the smallest")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="960x540")
    parser.add_argument("--no-peers", action="store_true", help="time the fused kernels only")
    parser.add_argument("--json", type=Path, help="write one flat object of all figures")
    arguments = parser.parse_args()
    peers.quiet()
    width, height = map(int, arguments.size.split("x"))
    plane = np.ascontiguousarray(read_frames(width, height, 1)[0].planes[0])
    blind = [spec for spec in list_models() if not spec.clean]
    defaults = [spec.alias or spec.canonical_id for spec in blind if spec.alias or spec.family == "bicubic"]
    specs = [resolve(name) for name in arguments.models or [*defaults, SMALL]]
    names = [spec.alias or spec.canonical_id for spec in specs]
    flat = measure(specs, plane, arguments.threads, arguments.rounds, not arguments.no_peers)
    flat |= whole_frame(width, height, arguments.threads, arguments.rounds)
    flat |= load_seconds(names, arguments.threads)
    title = f"{arguments.size}, {arguments.threads} threads, sgemm {flat['sgemm.gflops']} GFLOP/s"
    Console(width=180).print(_table(flat, names, title))
    write_flat(flat, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
