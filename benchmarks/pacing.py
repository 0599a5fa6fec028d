"""Streams that come like cameras: latency of one, punctuality of eight."""

from __future__ import annotations

from collections.abc import Sequence

import esr_client
from benchmarks.camera import Camera, Take, join_all, percentile_ms
from benchmarks.serving import Serving

_FPS = 30
_SETTLING_S = 1.0


def one_stream(served: Serving, frames: Sequence[esr_client.Frame], seconds: float) -> dict[str, float]:
    """Latency of one paced stream, 540p at 30 frames per second, after its first second."""
    take = Camera(served.target, frames, _FPS, seconds=seconds, model="esr_tr_x2", target_fps=_FPS).start().join()
    latencies = take.latencies_s[_FPS:]
    return {"paced.p50.ms": percentile_ms(latencies, 50), "paced.p99.ms": percentile_ms(latencies, 99)}


def eight_streams(served: Serving, frames: Sequence[esr_client.Frame], seconds: float) -> dict[str, float]:
    """The share of frames on time of eight streams, 480×270 at 25 frames per second."""
    cameras = [
        Camera(served.target, frames, 25, seconds=seconds, model="esr_tr_x2", target_fps=25).start() for _ in range(8)
    ]
    takes = join_all(cameras)
    return {"eight.on_time": share_on_time(takes, min(min(take.shot_s.values()) for take in takes) + _SETTLING_S)}


def share_on_time(takes: Sequence[Take], since_s: float, until_s: float = float("inf")) -> float:
    """The share of frames shot in a span that came back within one frame time; a refused camera has none."""
    counts = [take.on_time(since_s, until_s) for take in takes if not take.refusal]
    return sum(there for there, _ in counts) / max(1, sum(shot for _, shot in counts))
