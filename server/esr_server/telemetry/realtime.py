"""How far streams with a declared rate keep it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WINDOW_S = 5.0


class RateTracker:
    """One running stream. One without a rate is never asked, and told nothing."""

    def __init__(self, fps: float | None, clock: Callable[[], float], on_frame: Callable[[str, bool], None]) -> None:
        self._period_s = 1 / fps if fps else 0.0
        self._began_s = clock()
        self._clock = clock
        self._on_frame = on_frame
        self._delivered_s: deque[float] = deque()
        self._lock = threading.Lock()

    def delivered(self, model: str, *, late: bool) -> None:
        """A frame was sent; `late` if after it was due."""
        now_s = self._clock()
        self._delivered_s.append(now_s)
        self._forget(now_s)  # here too: nobody may ever ask
        self._on_frame(model, late)

    def seconds(self, now_s: float) -> tuple[float, float]:
        """Seconds of media delivered, and seconds that have passed, of the window that ends now."""
        self._forget(now_s)
        return len(self._delivered_s) * self._period_s, min(WINDOW_S, now_s - self._began_s)

    def _forget(self, now_s: float) -> None:
        with self._lock:
            while self._delivered_s and self._delivered_s[0] <= now_s - WINDOW_S:
                self._delivered_s.popleft()


class RateTrackers:
    """All running streams with a rate. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._streams: set[RateTracker] = set()
        self._lock = threading.Lock()

    @contextmanager
    def stream(self, fps: float | None, on_frame: Callable[[str, bool], None]) -> Iterator[RateTracker]:
        """Count a stream while it runs; `on_frame` is called with each frame's model and whether it was late."""
        tracker = RateTracker(fps, self._clock, on_frame)
        with self._lock:
            self._streams |= {tracker} if fps else set()
        try:
            yield tracker
        finally:
            with self._lock:
                self._streams -= {tracker}

    def ratio(self) -> float:
        """Media time delivered over time passed, of all streams together; 1 where none runs: none falls behind."""
        now_s = self._clock()
        with self._lock:
            parts = [tracker.seconds(now_s) for tracker in self._streams]
        passed_s = sum(span_s for _, span_s in parts)
        return sum(media for media, _ in parts) / passed_s if passed_s else 1.0
