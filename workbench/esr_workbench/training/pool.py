"""A pool: many models trained by one command, one after the other, from a TOML file.

    seconds = 200                     # settings for all, see TrainingSettings
    [[models]]
    names = ["esr_tr_x2", "esr_tr_x3"]
    seconds = 600                     # settings for these

A file for one model has `model = "esr_tr_x2"` next to its settings instead of the tables.
"""

from __future__ import annotations

import tomllib
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esr_upscale.errors import InvalidInputError, UpscaleError
from esr_upscale.models import ModelSpec, resolve
from esr_upscale.models.weights_file import SUFFIX
from esr_workbench.training.checkpoint import Checkpoint, Journal
from esr_workbench.training.loop import Progress, TrainingStoppedError, never
from esr_workbench.training.run import TrainingSettings, train


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a pool, as the file has it: neither name nor settings are known to be right."""

    name: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an entry."""

    name: str
    state: str
    """trained, finished before, failed."""
    journal: Journal | None = None
    error: str = ""


Reporter = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]
"""Shows the progress of the model of that name for as long as it is open."""


def read_pool(path: Path) -> list[Entry]:
    """Return the models of a TOML file, in its order. Raises InvalidInputError when it is not such a file."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} cannot be read as TOML: {error}") from error
    groups = table.pop("models", None)
    if groups is None:
        groups = [{"names": [table.pop("model")]}] if "model" in table else []
    entries = []
    if isinstance(groups, list) and all(isinstance(group, dict) for group in groups):
        for group in groups:
            names = group.pop("names", ())
            entries += [Entry(str(name), table | group) for name in names]
    if not entries:
        raise InvalidInputError(f'{path} has no models; it needs [[models]] with names = ["esr_tr_x2", …]')
    return entries


def train_pool(
    entries: list[Entry],
    tiles: Path,
    out: Path,
    reporter: Reporter,
    log: Callable[[str], None],
    stop: Callable[[], bool] = never,
) -> list[Outcome]:
    """Train what is not finished; an interrupted model goes on where it was. What fails costs itself only.

    Raises TrainingStoppedError when `stop` says so.
    """
    outcomes = []
    for entry in entries:
        if stop():
            raise TrainingStoppedError(f"stopped before {entry.name}; start it again to go on")
        outcome = _outcome(entry, tiles, out, reporter, log, stop)
        log(f"{outcome.name}: {describe(outcome)}")
        outcomes.append(outcome)
    return outcomes


def describe(outcome: Outcome) -> str:
    if outcome.journal is None:
        return f"{outcome.state}: {outcome.error}" if outcome.error else outcome.state
    journal = outcome.journal
    return f"{outcome.state}, {journal.steps} steps, {journal.seconds:.0f} s, {journal.psnr:.2f} dB held-out"


def _outcome(
    entry: Entry, tiles: Path, out: Path, reporter: Reporter, log: Callable[[str], None], stop: Callable[[], bool]
) -> Outcome:
    try:
        spec, settings = resolve(entry.name), TrainingSettings.of(entry.settings)
        if is_finished(spec, out):
            return Outcome(spec.canonical_id, "finished before", Checkpoint(spec, out).last_journal())
        with reporter(spec.canonical_id) as report:
            return Outcome(spec.canonical_id, "trained", train(spec, tiles, out, settings, report, stop))
    except TrainingStoppedError:
        raise
    except UpscaleError as error:
        return Outcome(entry.name, "failed", error=str(error))
    except Exception as error:  # whatever it is, the other models are not to suffer
        log(traceback.format_exc())
        return Outcome(entry.name, "failed", error=repr(error))


def is_finished(spec: ModelSpec, out: Path) -> bool:
    """Return whether `out` has weights of `spec`, and no run of it is under way."""
    return (out / (spec.canonical_id + SUFFIX)).is_file() and not Checkpoint(spec, out).exists()
