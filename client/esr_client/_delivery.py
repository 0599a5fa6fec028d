"""What becomes of frames that come faster than they can be upscaled, and the account of those that are dropped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

__all__ = ["Delivery", "DeliveryPolicy", "DropReason", "Dropped"]


class DeliveryPolicy(StrEnum):
    """LOSSLESS: every frame. LATEST: the newest one. DEADLINE: those that can be ready in time."""

    LOSSLESS = "LOSSLESS"
    LATEST = "LATEST"
    DEADLINE = "DEADLINE"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery policy: `Delivery.lossless()`, `Delivery.latest()` or `Delivery.deadline(seconds)`.

    Raises:
        ValueError: a deadline is missing, not above 0 or not finite, or the policy has none.
    """

    policy: DeliveryPolicy = DeliveryPolicy.LOSSLESS
    deadline_s: float | None = None
    """Seconds from a frame's arrival at the server until it has to be ready; of DEADLINE only."""

    def __post_init__(self) -> None:
        if (self.deadline_s is None) is (self.policy is DeliveryPolicy.DEADLINE):
            raise ValueError("the policy DEADLINE needs a deadline in seconds; other policies take none")
        if self.deadline_s is not None and not (math.isfinite(self.deadline_s) and self.deadline_s > 0):
            raise ValueError(f"a deadline must be a number of seconds above 0, not {self.deadline_s}")

    @classmethod
    def lossless(cls) -> Self:
        """Deliver every frame, in order; the sender waits."""
        return cls()

    @classmethod
    def latest(cls) -> Self:
        """Deliver the newest frame; those that it overtakes are dropped."""
        return cls(DeliveryPolicy.LATEST)

    @classmethod
    def deadline(cls, seconds: float) -> Self:
        """Deliver frames that can be ready within `seconds`; the rest is dropped before work is spent on it.

        Raises:
            ValueError: `seconds` is not above 0, or not finite.
        """
        return cls(DeliveryPolicy.DEADLINE, seconds)

    @property
    def drops(self) -> bool:
        """Return whether frames may be dropped. Then the sender never waits for answers."""
        return self.policy is not DeliveryPolicy.LOSSLESS


LOSSLESS = Delivery()
"""What a stream has that asks for nothing else."""


class DropReason(StrEnum):
    """The reason for a drop. SUPERSEDED: a newer one came before its turn. LATE: it could not be ready in time."""

    SUPERSEDED = "SUPERSEDED"
    LATE = "LATE"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that was not upscaled."""

    sequence: int
    """Its number, counted from 0: of frames as they were sent, or as they left the server's decoder."""
    pts: int | None
    """In units of the stream's time base; None is unknown."""
    reason: DropReason


OnDrop = Callable[[Dropped], object]


class DropCount:
    """Drops by reason. One thread counts, any may look."""

    def __init__(self) -> None:
        self._by_reason = dict.fromkeys(DropReason, 0)

    def add(self, dropped: Dropped) -> None:
        self._by_reason[dropped.reason] += 1

    @property
    def total(self) -> int:
        return sum(self._by_reason.values())

    @property
    def by_reason(self) -> Mapping[DropReason, int]:
        """Return a view that goes on counting, and cannot be written to."""
        return MappingProxyType(self._by_reason)
