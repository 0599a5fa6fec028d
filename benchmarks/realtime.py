"""Real time, figure by figure: transport, latency, punctuality, the ladder under overload, memory, start, a whole file.

Real frames (Big Buck Bunny) between a client and a server process on this machine, yuv420p 540p → 1080p unless a row
says otherwise. The load generator paces like a camera: it does not wait for answers. Order, pts and bytes are checked
in the same runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import footprint, overload, pacing, transport
from benchmarks.camera import StreamRefusedError
from benchmarks.clip import read_frames
from benchmarks.report import write_flat
from benchmarks.serving import serving


@dataclass(frozen=True, slots=True)
class Row:
    """One figure with what is asked of it."""

    key: str
    what: str
    bar: str


ROWS = (
    Row("shared.transport.cpu_ms", "shared memory: transport, client + server, ms of processor time a frame", "≤ 1.5"),
    Row("shared.rate.share", "shared memory: rate with esr_tr_x2, of the kernels alone at their best", "≥ 0.75"),
    Row("inline.fps", "inline bytes: frames per second with esr_tr_x2", "≥ 60"),
    Row("paced.p50.ms", "one paced stream, 1080p30 out: latency, p50 ms", "≤ 12"),
    Row("paced.p99.ms", "one paced stream, 1080p30 out: latency, p99 ms", "≤ 25"),
    Row("eight.on_time", "eight streams 480×270, 25 fps: frames on time", "≥ 0.99"),
    Row("overload.on_time", "more load than the best rung can take: frames on time", "≥ 0.99"),
    Row("overload.best_again.s", "seconds until the best rung runs again", "≤ 3"),
    Row("memory.per_stream.mb", "memory of a further stream, MB", "≤ 30"),
    Row("start.s", "start of esr-serve to ready, s", "≤ 2.5"),
    Row("file.ratio", "esr-client upscale of a file, over ffmpeg's scale=bicubic", "≤ 1.5"),
)


def measure(frame_count: int, rounds: int, seconds: float) -> tuple[dict[str, float], list[str]]:
    """Every figure, one group after the other; nothing else may run on the machine.

    What a group could not be measured for comes second: the other figures are not lost with it.
    """
    footprint.need_ffmpeg()
    frames, small = read_frames(960, 540, frame_count), read_frames(480, 270, frame_count)
    flat: dict[str, float] = footprint.start_to_ready(rounds)
    with serving("esr_tr_x2", *(m for m in overload.LADDER if m != "esr_tr_x2")) as served:
        groups: tuple[Callable[[], dict[str, float]], ...] = (
            lambda: footprint.memory_per_stream(served, frames, seconds),
            lambda: transport.measure(served, frames, rounds),
            lambda: pacing.one_stream(served, frames, 2 * seconds),
            lambda: pacing.eight_streams(served, small, seconds),
            lambda: overload.overload(served, frames, seconds).figures(),
            lambda: footprint.file_against_ffmpeg(served, rounds),
        )
        reasons = []
        for group in groups:
            try:
                flat |= group()
            except (StreamRefusedError, overload.NoOverloadError) as error:
                reasons.append(str(error))
    return {key: round(value, 4) for key, value in flat.items()}, reasons


def _table(flat: dict[str, float]) -> Table:
    table = Table("what", "asked", "measured", title=f"Real time on {os.cpu_count()} processors")
    for row in ROWS:
        table.add_row(row.what, row.bar, f"{flat[row.key]:.3g}" if row.key in flat else "–")
    return table


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each paced run")
    parser.add_argument("--json", type=Path, help="write one flat object of all figures")
    arguments = parser.parse_args()
    flat, reasons = measure(arguments.frames, arguments.rounds, arguments.seconds)
    Console().print(_table(flat))
    write_flat(flat, arguments.json)
    for reason in reasons:
        sys.stderr.write(f"not measured: {reason}\n")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
