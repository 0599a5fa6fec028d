"""More load than the best model can take: what a ladder makes of it, as figures and as a picture.

`make figures` draws it for the docs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import esr_client
from benchmarks.camera import Camera, Take
from benchmarks.clip import read_frames
from benchmarks.pacing import share_on_time
from benchmarks.serving import Serving, serving

LADDER = ("esr_cnn_x2", "esr_tr_x2", "esr_max_x2", "bicubic_x2")
FPS = 30
_SETTLING_S = 1.0
_MOST_STREAMS = 40
_BIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Overload:
    """One run. Times are `time.perf_counter` seconds."""

    takes: tuple[Take, ...]
    """The first is of the camera that stayed, if there was one."""
    full_s: float
    """When the last camera had come."""
    ending_s: float
    """When all but one were told to stop."""
    gone_s: float
    """When they were gone."""

    def figures(self) -> dict[str, float]:
        """Return what the table of real time has of it."""
        return {
            "overload.streams": len(self.takes),
            "overload.refused": sum(bool(take.refusal) for take in self.takes),
            "overload.on_time": share_on_time(self.takes, self.full_s + _SETTLING_S, self.ending_s - 0.1),
            "overload.best_again.s": best_again_s(self.takes[0], self.gone_s),
        }


class NoOverloadError(Exception):
    """The streams of a run were not enough to take one of them off the best model."""


def overload(served: Serving, frames: Sequence[esr_client.Frame], seconds: float) -> Overload:
    """Add streams with a ladder until half of those admitted have left the best model; after `seconds` they go, but
    for one that has left it.

    Raises:
        NoOverloadError: none has left it.
    """
    longest_s = 2 * _MOST_STREAMS + seconds
    cameras = [_camera(served, frames, longest_s)]
    time.sleep(1.0)
    while most_run_best([camera.take for camera in cameras]) and len(cameras) < _MOST_STREAMS:
        cameras.append(_camera(served, frames, longest_s))
        time.sleep(1.0)
    full_s = time.perf_counter()
    time.sleep(seconds)
    ending_s = time.perf_counter()
    place = place_that_stays([camera.take for camera in cameras])
    others = [camera for index, camera in enumerate(cameras) if index != place]
    for camera in others:
        camera.stop()
    takes = [camera.join(may_be_refused=True) for camera in others]
    if place is None:
        refused = sum(bool(take.refusal) for take in takes)
        raise NoOverloadError(f"none of {len(takes)} streams, {refused} of them refused, left {LADDER[0]}")
    gone_s = time.perf_counter()
    time.sleep(5)
    cameras[place].stop()
    return Overload((cameras[place].join(), *takes), full_s, ending_s, gone_s)


def _camera(served: Serving, frames: Sequence[esr_client.Frame], seconds: float) -> Camera:
    return Camera(served.target, frames, FPS, seconds=seconds, ladder=LADDER, target_fps=FPS).start()


def most_run_best(takes: Sequence[Take]) -> bool:
    """Return whether over half of the admitted streams have the best model, or no answer yet."""
    admitted = [take for take in takes if not take.refusal]
    best = [take for take in admitted if not take.models or take.models[-1][1].startswith(LADDER[0])]
    return len(best) > len(admitted) / 2


def place_that_stays(takes: Sequence[Take]) -> int | None:
    """Return the place of an admitted stream that has left the best model, if there is one.

    One that is off it now comes before one that was.
    """
    places = [place for place, take in enumerate(takes) if not take.refusal and _left_best_s(take)]
    now = [place for place in places if not takes[place].models[-1][1].startswith(LADDER[0])]
    return next(iter(now or places), None)


def _left_best_s(take: Take) -> list[float]:
    """Return when frames came back from another model than the best."""
    return [at_s for at_s, model in take.models if not model.startswith(LADDER[0])]


def best_again_s(take: Take, gone_s: float) -> float:
    """Seconds from the end of the load until the best model ran again and stayed; infinity if it did not.

    0 where it was back before the last of the others had gone.
    """
    wrong = _left_best_s(take)
    return max(0.0, wrong[-1] - gone_s) if wrong[-1] < take.models[-1][0] else float("inf")


# ---- the picture -------------------------------------------------------------------------------------------------


def plot(run: Overload, best_s: float, path: Path) -> None:
    """Offered load, models in use, latency, and frames late or dropped, over the seconds of the run.

    `best_s` is what a frame costs the best model, in seconds of the whole machine.
    """
    began_s = min(min(take.shot_s.values()) for take in run.takes if take.shot_s)
    ended_s = max(max(take.shot_s.values()) for take in run.takes if take.shot_s)
    edges = np.arange(began_s, ended_s + _BIN_S, _BIN_S)
    figure = Figure(figsize=(9, 9), layout="constrained")
    load, models, latency, bad = figure.subplots(4, 1, sharex=True)
    seconds = edges[:-1] - began_s
    _plot_load(load, seconds, run, edges, best_s)
    _plot_models(models, seconds, run, edges)
    _plot_latency(latency, seconds, run, edges)
    _plot_bad(bad, seconds, run, edges)
    bad.set_xlabel("seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _counts(times_s: Sequence[float], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.histogram(times_s, edges)[0].astype(np.float64)


def _plot_load(
    axes: Axes, seconds: NDArray[np.float64], run: Overload, edges: NDArray[np.float64], best_s: float
) -> None:
    shot = _counts([at_s for take in run.takes for at_s in take.shot_s.values()], edges)
    axes.plot(seconds, shot / _BIN_S * best_s, color="black")
    axes.axhline(1.0, color="grey", linestyle=":")
    axes.set_ylabel(f"offered load,\nall with {LADDER[0]}")
    axes.set_ylim(bottom=0)


def _plot_models(axes: Axes, seconds: NDArray[np.float64], run: Overload, edges: NDArray[np.float64]) -> None:
    counts = {
        rung: _counts([at_s for take in run.takes for at_s, model in take.models if model.startswith(rung)], edges)
        for rung in LADDER
    }
    axes.stackplot(seconds, *(count / _BIN_S for count in counts.values()), labels=list(counts), step="post")
    axes.set_ylabel("frames per second\nby model")
    axes.legend(loc="upper left", fontsize="small")


def _plot_latency(axes: Axes, seconds: NDArray[np.float64], run: Overload, edges: NDArray[np.float64]) -> None:
    pairs = [(take.shot_s[pts], at_s - take.shot_s[pts]) for take in run.takes for pts, at_s in take.received_s.items()]
    shot_s, took_s = np.array(pairs).T
    places = np.digitize(shot_s, edges) - 1
    for percent, style in ((50, "-"), (99, ":")):
        latencies = [took_s[places == i] for i in range(len(seconds))]
        values = [np.percentile(part, percent) * 1e3 if len(part) else np.nan for part in latencies]
        axes.plot(seconds, values, style, color="black", label=f"p{percent}")
    axes.axhline(1e3 / FPS, color="grey", linewidth=0.8)
    axes.set_ylabel("latency, ms\n(grey: a frame time)")
    axes.legend(loc="upper left", fontsize="small")
    axes.set_ylim(bottom=0)


def _plot_bad(axes: Axes, seconds: NDArray[np.float64], run: Overload, edges: NDArray[np.float64]) -> None:
    late = [at_s for take in run.takes for pts, at_s in take.received_s.items() if at_s - take.shot_s[pts] > 1 / FPS]
    dropped = [at_s for take in run.takes for at_s in take.dropped_s]
    axes.plot(seconds, _counts(late, edges) / _BIN_S, color="tab:orange", label="late")
    axes.plot(seconds, _counts(dropped, edges) / _BIN_S, color="tab:red", label="dropped")
    axes.set_ylabel("frames per second")
    axes.legend(loc="upper left", fontsize="small")
    axes.set_ylim(bottom=0)


def _cost_s(served: Serving) -> float:
    """Return what a frame of 960×540 costs the best model there."""
    with esr_client.connect(served.target) as client:
        (best,) = (model for model in client.models() if model.alias == LADDER[0])
    cost_s = best.seconds_for(960, 540)
    assert cost_s, f"the server does not say what a frame costs on {LADDER[0]}"
    return cost_s


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--plot", type=Path, help="write the picture of the run, a PNG")
    arguments = parser.parse_args()
    frames = read_frames(960, 540, 60)
    with serving(*LADDER) as served:
        run = overload(served, frames, arguments.seconds)
        for key, value in run.figures().items():
            sys.stdout.write(f"{key}: {value:.4g}\n")
        if arguments.plot:
            plot(run, _cost_s(served), arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
