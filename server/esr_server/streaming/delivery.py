"""What becomes of frames that come faster than they can be upscaled: what the contract calls delivery."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from esr_server.errors import ConfigError


class DeliveryPolicy(IntEnum):
    """Numbers are the contract's."""

    LOSSLESS = 1
    """Every frame, in order; the sender waits."""
    LATEST = 2
    """The newest frame; those that it overtakes are dropped."""
    DEADLINE = 3
    """What can be ready in time; the rest is dropped before work is spent on it."""


class DropReason(IntEnum):
    """Why a frame was not upscaled. Numbers are the contract's."""

    SUPERSEDED = 1
    LATE = 2


@dataclass(frozen=True, slots=True)
class Dropped:
    """The answer to a frame that was not upscaled."""

    pts: int | None
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a stream asked for."""

    policy: DeliveryPolicy = DeliveryPolicy.LOSSLESS
    deadline_s: float = math.inf
    """Seconds from a frame's arrival until it has to be ready."""

    def __post_init__(self) -> None:
        if self.policy is DeliveryPolicy.DEADLINE and not 0 < self.deadline_s < math.inf:
            raise ConfigError(
                f"delivery by deadline needs deadline_s, a number of seconds above 0, not {self.deadline_s}"
            )


Gate: TypeAlias = Callable[[float, float], DropReason | None]
"""From a frame's arrival (`time.perf_counter` seconds) and what upscaling it is expected to take, in seconds, to the
reason why it should not be; asked right before work would be spent on it."""


def open_gate(_arrived_s: float, _cost_s: float) -> None:
    """The gate that lets every frame pass."""


def gate(delivery: Delivery, newer_waits: Callable[[], bool]) -> Gate:
    """The gate of a stream. `newer_waits` says whether a frame has come that could be upscaled instead."""

    def superseded(_arrived_s: float, _cost_s: float) -> DropReason | None:
        return DropReason.SUPERSEDED if newer_waits() else None

    def late(arrived_s: float, cost_s: float) -> DropReason | None:
        return DropReason.LATE if time.perf_counter() + cost_s > arrived_s + delivery.deadline_s else None

    return {DeliveryPolicy.LOSSLESS: open_gate, DeliveryPolicy.LATEST: superseded, DeliveryPolicy.DEADLINE: late}[
        delivery.policy
    ]


class FrameClock:
    """When the frames of a stream are due, from the rate that it declared.

    A stream that sends faster than it declared has its frames due as if they had come in time, so that in the order of
    deadlines they stand behind the frames of those that keep to their rate.
    """

    def __init__(self, fps: float | None, deadline_s: float = math.inf) -> None:
        self._period_s = 1 / fps if fps else math.inf
        self._allowed_s = min(self._period_s, deadline_s)
        self._declared_s = -math.inf

    def due_s(self, arrived_s: float) -> float:
        """Return when the frame that arrived at `arrived_s` should be ready; infinity if no rate was declared."""
        if math.isinf(self._period_s):
            return arrived_s + self._allowed_s
        self._declared_s = max(arrived_s, self._declared_s + self._period_s)
        return self._declared_s + self._allowed_s

    def exceeds(self, arrived_s: float, due_s: float) -> bool:
        """Return whether a frame arrived more than two frame times before its turn, and so exceeds the declared rate.

        One that comes a little early after one that came a little late is.
        """
        return due_s - self._allowed_s - arrived_s > 2 * self._period_s
