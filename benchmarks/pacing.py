"""Streams that come like cameras: latency of one, punctuality of eight, and what a ladder makes of too many."""

from __future__ import annotations

import time
from collections.abc import Sequence

import esr_client
from benchmarks.camera import Camera, Take, percentile_ms
from benchmarks.serving import Serving

LADDER = ("esr_cnn_x2", "esr_tr_x2", "esr_max_x2", "bicubic_x2")
_FPS = 30
_SETTLING_S = 1.0
_MOST_STREAMS = 40


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
    takes = [camera.join() for camera in cameras]
    return {"eight.on_time": _share(takes, min(min(take.shot_s.values()) for take in takes) + _SETTLING_S)}


def overload(served: Serving, frames: Sequence[esr_client.Frame], seconds: float) -> dict[str, float]:
    """Streams with a ladder are added until the best rung has no room for any of them; then they go, but for the first.

    The share of frames on time counts from a second after the last stream came.
    """
    first = _ladder_camera(served, frames, 2 * seconds + 10)
    others: list[Camera] = []
    while any(_runs_best(camera) for camera in (first, *others)) and len(others) < _MOST_STREAMS:
        others.append(_ladder_camera(served, frames, seconds + 10))
        time.sleep(1.0)
    full_s = time.perf_counter()
    time.sleep(seconds)
    ending_s = time.perf_counter()
    for camera in others:
        camera.stop()
    takes = [camera.join() for camera in others]
    gone_s = time.perf_counter()
    time.sleep(5)
    first.stop()
    takes = [*takes, first.join()]
    return {
        "overload.streams": len(takes),
        "overload.refused": sum(take.refused for take in takes),
        "overload.on_time": _share(takes, full_s + _SETTLING_S, ending_s - 0.1),
        "overload.best_again.s": _best_again_s(takes[-1], gone_s),
    }


def _ladder_camera(served: Serving, frames: Sequence[esr_client.Frame], seconds: float) -> Camera:
    return Camera(served.target, frames, _FPS, seconds=seconds, ladder=LADDER, target_fps=_FPS).start()


def _runs_best(camera: Camera) -> bool:
    """Whether a stream has the best model, or has not said yet; one that was refused has none."""
    models = camera.take.models
    return not camera.take.refused and (not models or models[-1][1].startswith(LADDER[0]))


def _best_again_s(take: Take, gone_s: float) -> float:
    """Seconds from the end of the load until the best model ran again and stayed; infinity if it did not."""
    wrong = [at_s for at_s, model in take.models if not model.startswith(LADDER[0])]
    if wrong and wrong[-1] == take.models[-1][0]:
        return float("inf")
    return max(0.0, wrong[-1] - gone_s) if wrong else 0.0


def _share(takes: Sequence[Take], since_s: float, until_s: float = float("inf")) -> float:
    counts = [take.on_time(since_s, until_s) for take in takes if not take.refused]
    return sum(there for there, _ in counts) / max(1, sum(shot for _, shot in counts))
