"""What it costs to run a codec in a process of its own, side by side with this process.

    python -m benchmarks.isolation [--frames N] [--rounds N] [--json FILE]

A clip of 1080p is made with x264, then decoded, and its pictures are encoded again, in turns. Processor time is that of
this process and of all its children. Nothing else may run on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from benchmarks.report import write_flat
from esr_media.formats import pixel_format
from esr_media.packet import Packet
from esr_server.codecs.codec import Codecs, EncodeStage, InProcessCodecs
from esr_server.codecs.isolated import IsolatedCodecs
from esr_server.config import Limits
from esr_upscale.frame import Frame
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import EncoderSettings

_SIZE, _TIME_BASE = (1920, 1080), Fraction(1, 30)
_ENCODER = EncoderSettings("libx264", {"preset": "ultrafast"}, Fraction(30), threads=1)
_DECODER = DecoderSettings("h264", _TIME_BASE, max_pixels=Limits().max_pixels)


@dataclass
class Row:
    """What was measured of one way: milliseconds a frame, and MiB."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    open_ms: list[float] = field(default_factory=list)
    private_mib: list[float] = field(default_factory=list)


def _pictures(count: int) -> list[Frame]:
    fmt = pixel_format("yuv420p")
    frames = []
    for index in range(count):
        planes = []
        for number in range(3):
            rows, columns = fmt.plane_shape(number, *_SIZE)
            y, x = np.mgrid[:rows, :columns]
            wave = np.sin((x + 5 * index) / 31) * np.cos((y - 3 * index) / 17) + np.sin(x * y / 4001)
            planes.append((128 + 50 * wave).astype(np.uint8))
        frames.append(Frame(fmt, *_SIZE, tuple(planes), index, 1, _TIME_BASE))
    return frames


def _cpu_s() -> float:
    """Seconds of processor time of this process and of those of codecs, also of those that have ended."""
    own = psutil.Process()
    total = own.cpu_times().user + own.cpu_times().system
    for process in own.children(recursive=True):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _wait_until_ended() -> None:
    while any(child.children() for child in psutil.Process().children()):
        time.sleep(0.01)


@contextmanager
def _measured(row: Row, frames: int) -> Iterator[None]:
    wall_s, cpu_s = time.perf_counter(), _cpu_s()
    yield
    row.wall_ms.append(1e3 * (time.perf_counter() - wall_s) / frames)
    row.cpu_ms.append(1e3 * (_cpu_s() - cpu_s) / frames)


def _private_mib() -> float:
    children = psutil.Process().children(recursive=True)
    return max((child.memory_full_info().uss for child in children), default=0) / 2**20


def _decode(codecs: Codecs, packets: list[Packet], row: Row) -> None:
    started_s = time.perf_counter()
    stage = codecs.decoder(_DECODER, "")
    row.open_ms.append(1e3 * (time.perf_counter() - started_s))
    with _measured(row, len(packets)):
        for packet in packets:
            for _ in stage.push(packet):
                pass
    row.private_mib.append(_private_mib())
    stage.close()
    _wait_until_ended()


def _written(frame: Frame, stage: EncodeStage) -> Frame:
    """Write a frame where the upscaler would have written it."""
    planes = []
    for plane in frame.planes:
        memory = stage.allocate((plane.shape[0], plane.shape[1]), plane.dtype)
        planes.append(np.empty_like(plane) if memory is None else memory)
        np.copyto(planes[-1], plane)
    return replace(frame, planes=tuple(planes))


def _encode(codecs: Codecs, frames: list[Frame], row: Row) -> list[Packet]:
    started_s = time.perf_counter()
    stage = codecs.encoder(_ENCODER)
    row.open_ms.append(1e3 * (time.perf_counter() - started_s))
    with _measured(row, len(frames)):
        encoded = [one for frame in frames for one in stage.push(_written(frame, stage))]
        encoded += stage.flush()
    row.private_mib.append(_private_mib())
    stage.close()
    _wait_until_ended()
    return [one.packet for one in encoded]


def main() -> None:
    """Write milliseconds a frame, and what isolation adds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100, help="Frames of the clip.")
    parser.add_argument("--rounds", type=int, default=7, help="Turns of each way.")
    parser.add_argument("--json", type=Path, help="File for the figures.")
    arguments = parser.parse_args()
    limits = Limits()
    isolated = IsolatedCodecs(limits.max_frame_bytes, limits.max_output_frame_bytes, 20.0)
    ways: dict[str, Codecs] = {"in_process": InProcessCodecs(), "isolated": isolated}
    frames = _pictures(arguments.frames)
    packets = _encode(ways["in_process"], frames, Row())
    works: dict[str, Callable[[Codecs, Row], object]] = {
        "decode": lambda codecs, row: _decode(codecs, packets, row),
        "encode": lambda codecs, row: _encode(codecs, frames, row),
    }
    figures: dict[str, float] = {}
    for name, work in works.items():
        rows = {way: Row() for way in ways}
        for _ in range(arguments.rounds):
            for way, codecs in ways.items():
                work(codecs, rows[way])
        for way, row in rows.items():
            medians = {"wall.ms": row.wall_ms, "cpu.ms": row.cpu_ms, "open.ms": row.open_ms}
            figures |= {f"{name}.{way}.{unit}": round(statistics.median(all_), 2) for unit, all_ in medians.items()}
        figures[f"{name}.isolated.private.mib"] = round(max(rows["isolated"].private_mib), 1)
        added = [b - a for a, b in zip(rows["in_process"].cpu_ms, rows["isolated"].cpu_ms, strict=True)]
        figures[f"{name}.added.cpu.ms"] = round(statistics.median(added), 2)
    sys.stdout.writelines(f"{name:36}{value:9.2f}\n" for name, value in figures.items())
    write_flat(figures, arguments.json)
    isolated.close()


if __name__ == "__main__":
    main()
