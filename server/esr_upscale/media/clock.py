"""When frames are shown, for encoders that insist on knowing it."""

from __future__ import annotations

from fractions import Fraction

from esr_media.limits import TIME_MAX
from esr_upscale.errors import FrameError
from esr_upscale.frame import Frame


class Clock:
    """Gives each frame a pts, its own if it has one, and holds that they increase."""

    def __init__(self, frame_rate: Fraction | None) -> None:
        self._rate = frame_rate
        self._last: Frame | None = None
        self._pts = 0
        self._step = 1

    def next(self, frame: Frame, index: int) -> int:
        """Return the pts of frame number `index`.

        Raises:
            FrameError: it is not after the one before, or larger than FFmpeg can add to.
        """
        if frame.pts is not None:
            pts = frame.pts
        elif self._last is None:
            pts = 0
        elif self._last.duration:
            pts = self._pts + self._last.duration
        else:
            ticks = 1 / (self._rate * self._last.time_base) if self._rate else Fraction(self._step)
            pts = self._pts + max(1, round(ticks))
        if not -TIME_MAX <= pts <= TIME_MAX:
            raise FrameError(
                f"frame {index} has pts {pts}; an encoder needs one from {-TIME_MAX} to {TIME_MAX}, "
                "send pts that begin nearer to 0, or shorter durations"
            )
        if self._last is not None:
            if pts <= self._pts:
                raise FrameError(
                    f"frame {index} has pts {pts}, which is not after {self._pts}; an encoder needs increasing pts, "
                    "ask for raw frames (esr-client: leave out --encode server)"
                )
            self._step = pts - self._pts
        self._last, self._pts = frame, pts
        return pts
