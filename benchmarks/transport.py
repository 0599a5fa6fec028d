"""The cost of carrying frames, without upscaling: shared memory, inline bytes, and the kernels alone, in turn.

The kernels alone run in both ways that the server knows, one frame after the other on all processors, and two at the
same time on half of them each; what is carried is held against the faster one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import psutil

import esr_client
from benchmarks.serving import Serving
from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.models import load_weights, resolve

MODEL = "esr_tr_x2"


_REPEATS = 4
"""A pass streams all frames so many times, so that beginning and ending a stream, some 30 ms, counts for little."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over all frames."""

    fps: float
    cpu_ms: float
    """Processor time of a frame, in client and server together."""


class Kernels:
    """Luma and chroma kernels in this process, with nothing around them."""

    def __init__(self, frames: Sequence[esr_client.Frame]) -> None:
        spec = resolve(MODEL)
        self._upscale = LoadedModel(spec, load_weights(spec), EngineSettings()).upscaler
        self._frames = [Frame(pixel_format(f.pixel_format), f.width, f.height, f.planes) for f in frames]

    def one_by_one(self) -> Pass:
        """Upscale all frames, each on all processors."""
        return self._run(1)

    def two_at_once(self) -> Pass:
        """The same, in two threads, each frame on half of the processors."""
        return self._run(2)

    def _run(self, at_once: int) -> Pass:
        count = _REPEATS * len(self._frames)

        def work(first: int) -> None:
            for index in range(first, count, at_once):
                self._upscale(self._frames[index % len(self._frames)], concurrency=at_once)

        cpu_s, started_s = time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(work, range(at_once)))
        return Pass(count / (time.perf_counter() - started_s), (time.process_time() - cpu_s) / count * 1e3)

    def picture(self, index: int) -> tuple[bytes, ...]:
        """The bytes that the frame of this index has to become."""
        return tuple(plane.tobytes() for plane in self._upscale(self._frames[index]).frame.planes)


class Wire:
    """The same through a server, by shared memory and a unix socket, or inline through TCP."""

    def __init__(self, served: Serving, frames: Sequence[esr_client.Frame], *, shared: bool) -> None:
        target = served.local if shared else served.target
        self._client = esr_client.connect(target, options=esr_client.Options(shared_memory=shared))
        self._server = psutil.Process(served.pid)
        self._frames = frames
        self._shared = shared

    def run(self) -> Pass:
        """Stream all frames, and account for each."""
        before_s, started_s = self._cpu_s(), time.perf_counter()
        frames = [*self._frames] * _REPEATS
        stream = self._client.upscale(frames, model=MODEL)
        answered = [frame.pts for frame in stream]
        elapsed_s, cpu_s = time.perf_counter() - started_s, self._cpu_s() - before_s
        assert answered == [frame.pts for frame in frames], "frames out of order, or without their pts"
        assert stream.negotiated is not None
        assert stream.negotiated.shared_memory is self._shared, stream.negotiated.shared_memory_refusal
        return Pass(len(answered) / elapsed_s, cpu_s / len(answered) * 1e3)

    def check(self, expected: Callable[[int], tuple[bytes, ...]]) -> None:
        """Compare every byte of every tenth frame with what the kernels alone make of it."""
        for index, frame in enumerate(self._client.upscale(self._frames, model=MODEL)):
            if index % 10 == 0:
                assert tuple(np.ascontiguousarray(p).tobytes() for p in frame.planes) == expected(index)

    def close(self) -> None:
        self._client.close()

    def _cpu_s(self) -> float:
        times = self._server.cpu_times()
        return time.process_time() + times.user + times.system


def measure(served: Serving, frames: Sequence[esr_client.Frame], rounds: int) -> dict[str, float]:
    """Medians over rounds in which all take turns."""
    kernels = Kernels(frames)
    wires = {"shared": Wire(served, frames, shared=True), "inline": Wire(served, frames, shared=False)}
    runs: dict[str, Callable[[], Pass]] = {"kernels": kernels.one_by_one, "kernels.two": kernels.two_at_once}
    runs |= {name: wire.run for name, wire in wires.items()}
    for wire in wires.values():
        wire.check(kernels.picture)
    passes: dict[str, list[Pass]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            passes[name].append(run())
    for wire in wires.values():
        wire.close()
    return _summary(passes)


def _summary(passes: dict[str, list[Pass]]) -> dict[str, float]:
    flat = {f"{name}.fps": _median(p.fps for p in group) for name, group in passes.items()}
    best = [max(ways, key=lambda p: p.fps) for ways in zip(passes["kernels"], passes["kernels.two"], strict=True)]
    for name in ("shared", "inline"):
        pairs = list(zip(passes[name], best, strict=True))
        flat[f"{name}.transport.cpu_ms"] = _median(wire.cpu_ms - alone.cpu_ms for wire, alone in pairs)
        flat[f"{name}.rate.share"] = _median(wire.fps / alone.fps for wire, alone in pairs)
        one_by_one = zip(passes[name], passes["kernels"], strict=True)
        flat[f"{name}.rate.share_of_one_by_one"] = _median(wire.fps / alone.fps for wire, alone in one_by_one)
    return flat


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)
