"""A camera: frames at the ticks of a rate, whether or not anybody waits for them, and what became of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

import esr_client


class StreamRefusedError(Exception):
    """The server had no capacity for a stream that a measurement needs."""


@dataclass
class Take:
    """What one camera shot, and what came back. Times are `time.perf_counter` seconds."""

    fps: float
    shot_s: dict[int, float] = field(default_factory=dict)
    received_s: dict[int, float] = field(default_factory=dict)
    models: list[tuple[float, str]] = field(default_factory=list)
    """When a frame came back, and which model had made it."""
    dropped_s: list[float] = field(default_factory=list)
    """When the answer came that a frame had been dropped."""
    refusal: str = ""
    """Why the server did not take the stream in, or ended it; empty if it did neither."""

    @property
    def latencies_s(self) -> list[float]:
        """Return the latency of each frame that came back, from the tick of the camera."""
        return [received - self.shot_s[pts] for pts, received in self.received_s.items()]

    def on_time(self, since_s: float = 0.0, until_s: float = float("inf")) -> tuple[int, int]:
        """(frames that came back within one frame time, frames) of those shot in a span; a dropped one was not."""
        shot = [pts for pts, at_s in self.shot_s.items() if since_s <= at_s <= until_s]
        there = (pts in self.received_s and self.received_s[pts] - self.shot_s[pts] <= 1 / self.fps for pts in shot)
        return sum(there), len(shot)

    def check(self, count: int) -> None:
        """Every frame was sent once, and every one came back in its order or was dropped."""
        assert sorted(self.shot_s) == list(range(count)), "the camera lost a tick"
        assert list(self.received_s) == sorted(self.received_s), "frames out of order"
        assert len(self.received_s) + len(self.dropped_s) == count, "a frame is not accounted for"


class Camera:
    """Shoots `frames` over and over on a thread, streams them, and keeps the time of each."""

    def __init__(
        self, target: str, frames: Sequence[esr_client.Frame], fps: float, *, seconds: float, **config: object
    ) -> None:
        self.take = Take(fps)
        self._frames = frames
        self._count = round(seconds * fps)
        self._config = config
        self._options = esr_client.Options(window=max(16, round(fps)))
        self._target = target
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="camera")

    def start(self) -> Camera:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Shoot no more; what is on its way still comes back."""
        self._stop.set()

    def join(self, *, may_be_refused: bool = False) -> Take:
        """Wait for the end, and check that every frame is accounted for.

        Raises:
            StreamRefusedError: the server refused the stream, and `may_be_refused` is off.
        """
        self._thread.join()
        if self._failure:
            raise self._failure
        if not self.take.refusal:
            self.take.check(len(self.take.shot_s))
        elif not may_be_refused:
            size = f"{self._frames[0].width}×{self._frames[0].height}"
            raise StreamRefusedError(f"a stream of {size} at {self.take.fps:g} fps was refused: {self.take.refusal}")
        return self.take

    def _shots(self) -> Iterator[esr_client.Frame]:
        began_s = time.perf_counter()
        for pts in range(self._count):
            due_s = began_s + pts / self.take.fps
            if self._stop.wait(max(0.0, due_s - time.perf_counter())):
                return
            self.take.shot_s[pts] = due_s
            yield replace(self._frames[pts % len(self._frames)], pts=pts, time_base=Fraction(1, 1000))

    def _run(self) -> None:
        try:
            self._stream()
        except esr_client.ResourceExhaustedError as error:
            self.take.refusal = str(error)
        except BaseException as error:  # `join` raises it
            self._failure = error

    def _stream(self) -> None:
        def dropped(_: esr_client.Dropped) -> None:
            self.take.dropped_s.append(time.perf_counter())

        with esr_client.connect(self._target, options=self._options) as client:
            for frame in client.upscale(self._shots(), on_drop=dropped, **self._config):  # type: ignore[arg-type]
                now_s = time.perf_counter()
                assert frame.pts is not None
                self.take.received_s[frame.pts] = now_s
                self.take.models.append((now_s, frame.model or ""))


def join_all(cameras: Sequence[Camera]) -> list[Take]:
    """Wait for the end of all cameras. Raises StreamRefusedError, after that, if the server refused one of them."""
    for camera in cameras:
        camera.join(may_be_refused=True)
    return [camera.join() for camera in cameras]


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    return float(np.percentile(np.asarray(seconds), percent)) * 1e3
