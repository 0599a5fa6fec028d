"""The loop that every trainer runs in: the schedule's length, figures, checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from esr_upscale.errors import UpscaleError
from esr_workbench.training.checkpoint import Checkpoint, Journal

FIGURES = 40
"""How often in a run the held-out figure is taken."""
REPORTS = 1000
"""How often in a run, at most, the loss is reported."""
CHECKPOINT_SECONDS = 60.0
PROBE_SECONDS = 10.0
"""How long steps are timed for, at most: long enough to include matrices of Gauss–Newton."""


class TrainingStoppedError(UpscaleError):
    """The run was asked to stop. It left a checkpoint, and goes on from there when started again."""


class DivergedError(UpscaleError):
    """The loss is not a number any more."""


class Trainer(Protocol):
    """One network in training. The same trainer, seed, number of steps and threads make the same weights."""

    def step(self, progress: float) -> float:
        """Take one step and return the batch's mean squared error.

        `progress`, above 0 up to 1, is the share of the run with this step. When the error is not finite the weights
        stay as they are.
        """
        ...

    def judge(self) -> float:
        """Return the PSNR in dB that the weights so far reach on held-out pictures."""
        ...

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights so far, by their published names."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return all that changes in training: a trainer that `restore`s it goes on as this one would."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a `state` of a trainer that was made alike."""
        ...

    def recipe(self, steps: int) -> str:
        """Return how the weights are made, in a sentence or two, for the card."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run is."""

    step: int
    steps: int
    loss: float = math.nan
    """Weighted mean squared error of the batch."""
    psnr: float = math.nan
    """On held-out pictures, dB, when it was last measured; NaN before that."""
    doing: str = ""
    """What is done before training, in steps of its own; empty: training."""


def never() -> bool:
    return False


def run(
    trainer: Trainer,
    journal: Journal,
    report: Callable[[Progress], None],
    checkpoint: Checkpoint | None = None,
    stop: Callable[[], bool] = never,
) -> None:
    """Train from `journal.step` to `journal.steps`, writing the journal and now and then the checkpoint.

    Raises TrainingStoppedError when `stop` says so, after the checkpoint; DivergedError when the loss is not finite.
    """
    earlier_s, start = journal.seconds, time.perf_counter()
    keep = _Keeper(trainer, journal, checkpoint)
    loss = 0.0
    for step in range(journal.step + 1, journal.steps + 1):
        if stop():
            keep()
            raise TrainingStoppedError(f"stopped before step {step} of {journal.steps}; start it again to go on")
        loss = trainer.step(step / journal.steps)
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} at step {step}; a lower rate may help")
        journal.step, journal.seconds = step, earlier_s + time.perf_counter() - start
        if _due(step, journal.steps, FIGURES):
            journal.curve.append((step, round(journal.seconds, 2), loss, trainer.judge()))
        if _due(step, journal.steps, REPORTS):
            report(Progress(step, journal.steps, loss, journal.psnr))
        if keep.due():
            keep()


def _due(step: int, steps: int, times: int) -> bool:
    return step % max(1, steps // times) == 0 or step == steps


class _Keeper:
    """Writes the checkpoint, and knows when it is time to."""

    def __init__(self, trainer: Trainer, journal: Journal, checkpoint: Checkpoint | None) -> None:
        self._trainer, self._journal, self._checkpoint = trainer, journal, checkpoint
        self._last = time.perf_counter()

    def due(self) -> bool:
        return time.perf_counter() - self._last > CHECKPOINT_SECONDS

    def __call__(self) -> None:
        if self._checkpoint:
            self._checkpoint.write(self._journal, self._trainer.state())
        self._last = time.perf_counter()


def steps_in(seconds: float, trainer: Trainer) -> int:
    """Return how many steps fit into `seconds` on this machine. A few are timed on `trainer`, which is spent."""
    trainer.step(0.5)  # the first one pays for everything that is set up once
    start, steps = time.perf_counter(), 0
    while (elapsed_s := time.perf_counter() - start) < min(PROBE_SECONDS, seconds / 10) or steps == 0:
        trainer.step(0.5)
        steps += 1
    return max(1, round(seconds * steps / elapsed_s))
