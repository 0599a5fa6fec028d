"""What goes in and out of a stream's stages, and what a pipeline wants of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from esr_media.packet import Packet
from esr_server.streaming.delivery import Dropped, Gate
from esr_server.streaming.shared_memory import SlotPlanes
from esr_upscale.frame import Frame
from esr_upscale.models import Source


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds that one frame, or the sum of many, spent in each stage."""

    decode: float = 0.0
    queue: float = 0.0
    luma: float = 0.0
    chroma: float = 0.0
    encode: float = 0.0

    def __add__(self, other: StageSeconds) -> StageSeconds:
        return StageSeconds(
            self.decode + other.decode,
            self.queue + other.queue,
            self.luma + other.luma,
            self.chroma + other.chroma,
            self.encode + other.encode,
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """An item as it came in: its number, when it came and when it is due (`time.perf_counter` seconds).

    A frame that was dropped on its way here has become a `Dropped`.
    """

    item: Frame | Packet | Dropped
    sequence: int
    at_s: float
    due_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Result:
    """An item as it goes out: with the number, the times and the model of the frame it was made from."""

    item: Frame | Packet | Dropped
    sequence: int
    arrived_s: float
    stages: StageSeconds
    due_s: float = math.inf
    model: str = ""
    """Canonical id."""
    placement: SlotPlanes | None = None
    """Where in shared memory the frame's planes lie too; None where they do not."""
    source: Source | None = None
    """For which the weights are that made it; None: for all sources."""


@dataclass(frozen=True, slots=True)
class CodecStep:
    """Work of a codec, which may take long. The caller runs it, on any thread, before it drives on."""

    run: Callable[[], list[Result]]


@dataclass(slots=True)
class StreamStatistics:
    """What a stream has done so far."""

    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    model_switches: int = 0
    packets_in: int = 0
    packets_out: int = 0
    packets_skipped: int = 0
    stages: StageSeconds = field(default_factory=StageSeconds)

    @property
    def frames_lost(self) -> int:
        """Frames that went in and were not answered."""
        return self.frames_in - self.frames_out - self.frames_dropped


class Stages(Protocol):
    """What a pipeline drives."""

    is_frame_to_frame: bool
    """Whether each item gives exactly one result; then the steps of several items may be taken at the same time."""
    frames_in: int
    packets_in: int
    packets_skipped: int

    def push(self, arrival: Arrival, gate: Gate) -> Iterator[Result | CodecStep]:
        """Take one item in; return its steps. Each `next` does the work of one, and gives its result or work of the
        encoder. `gate` is asked before a frame is upscaled.
        """
        ...

    def is_slow_to_take(self, arrival: Arrival) -> bool:
        """Return whether `push` itself will do work that a worker's thread should do."""
        ...

    def drop(self, arrival: Arrival) -> Result:
        """Take in a frame that was dropped while it waited for its turn."""
        ...

    def flush(self, gate: Gate) -> Iterator[Result | CodecStep]:
        """Return the steps that give everything that is still held."""
        ...

    def interrupt(self) -> None:
        """Stop what a thread does in a codec as soon as possible. Any thread may call it."""
        ...

    def close(self) -> None:
        """Release what the stages hold; nothing drives them any more."""
        ...
