"""Which models are worth having, and which one holds a frame rate."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from esr_upscale.errors import InvalidInputError
from esr_workbench.pareto.measure import Measured, Size

MARGIN = 0.1
"""Share of a frame's time that a recommended model must leave: frames do not all take the same time."""


@dataclass(frozen=True, slots=True)
class Place:
    """A model between quality and speed."""

    measured: Measured
    psnr: float | None
    """Mean over the sets of pictures, in dB; None when it is not known."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a model: a size to upscale to, so many times a second."""

    name: str
    """As it was asked for."""
    size: Size
    """Of the output."""
    rate: float
    """Frames per second."""

    @staticmethod
    def of(text: str) -> Target:
        """Read "1080p60", whose width is 16/9 of 1080, or "1920x1080@59.94". Raises InvalidInputError."""
        match = re.fullmatch(r"(?:(\d{2,5})p|(\d+[x×]\d+)@)(\d+(?:\.\d+)?)", text.strip().lower())
        rate = float(match[3]) if match else 0
        if match is None or not 0 < rate <= 1000:
            raise InvalidInputError(f"{text!r} is not a size with a rate, as in 1080p60 or 1920x1080@59.94")
        if match[1]:
            # 480p is 854 pixels wide: the next even number.
            height = int(match[1])
            size = Size.of(f"{2 * math.ceil(height * 8 / 9)}x{height}")
        else:
            size = Size.of(match[2])
        return Target(text, size, rate)

    @property
    def limit_s(self) -> float:
        """Return the seconds that a frame may take."""
        return (1 - MARGIN) / self.rate

    def held_by(self, place: Place) -> bool:
        """Return whether a model, timed at the size that gives this one, is fast enough."""
        return place.measured.seconds <= self.limit_s


def frontier(places: Iterable[Place]) -> list[Place]:
    """Return the places that no other one beats, the fastest first: none is at least as good in both and better in one.

    Places of unknown quality are left out. Equal places are all kept.
    """
    candidates = [(place, place.psnr, place.measured.fps) for place in places if place.psnr is not None]
    best = [
        (place, psnr, fps)
        for place, psnr, fps in candidates
        if not any(q >= psnr and f >= fps and (q > psnr or f > fps) for _, q, f in candidates)
    ]
    return [place for place, psnr, fps in sorted(best, key=lambda row: (-row[2], -row[1]))]


def recommend(places: Iterable[Place], target: Target) -> Place | None:
    """Return the place of the highest PSNR that holds `target`, the faster of equal ones; None if none does."""
    # On the frontier are the best for every rate.
    fast_enough = [place for place in frontier(places) if target.held_by(place)]
    return fast_enough[-1] if fast_enough else None
