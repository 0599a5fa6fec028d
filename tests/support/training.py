"""A training run that is stopped while it trains."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from esr_workbench.training.multi_layer import CropTrainer
from esr_workbench.training.one_layer import PatchTrainer


@contextmanager
def stopped_in_step(trainer: type[PatchTrainer] | type[CropTrainer], number: int) -> Iterator[None]:
    """Send this process SIGTERM behind a step of the trainer, as `kill` would."""
    step, step_count = trainer.step, 0

    def step_and_stop(self: PatchTrainer | CropTrainer, progress: float) -> float:
        nonlocal step_count
        loss = step(self, progress)  # type: ignore[arg-type]
        step_count += 1
        if step_count == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainer, "step", step_and_stop)
        yield
