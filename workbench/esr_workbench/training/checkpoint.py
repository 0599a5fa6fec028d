"""What a run leaves behind: while it lasts a checkpoint, afterwards its journal.

Both lie in `runs/` under the weights, named after the model. A checkpoint is one safetensors file with the journal, as
JSON, in its header, so that the two can never disagree; the journal alone stays when the run is over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec
from esr_upscale.replacement import replace_file, write_text

DIRECTORY = "runs"


@dataclass(slots=True)
class Journal:
    """What a run was told, and how it went."""

    settings: dict[str, Any]
    """All that the weights depend on, but for the number of steps."""
    steps: int
    """How many it is to have."""
    step: int = 0
    """How many it has had."""
    seconds: float = 0.0
    """What they took, over all sittings."""
    curve: list[tuple[int, float, float, float]] = field(default_factory=list)
    """The learning curve: step, seconds, loss of the batch, held-out PSNR in dB."""

    @property
    def psnr(self) -> float:
        """Return the last held-out PSNR; NaN when there is none yet."""
        return self.curve[-1][3] if self.curve else float("nan")

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


class Checkpoint:
    """The files of one model's run in the weights directory `out`."""

    def __init__(self, spec: ModelSpec, out: Path) -> None:
        self.path = out / DIRECTORY / f"{spec.canonical_id}.safetensors"
        self._journal = self.path.with_suffix(".json")

    def exists(self) -> bool:
        return self.path.is_file()

    def write(self, journal: Journal, state: dict[str, Tensor]) -> None:
        """Replace the checkpoint: a crash in the middle leaves the old one."""
        tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
        with replace_file(self.path) as part:
            part.write_bytes(save(tensors, metadata={"journal": journal.to_json()}))

    def read(self) -> tuple[Journal, dict[str, Tensor]]:
        """Return the journal and state of the interrupted run. Raises InvalidInputError when they cannot be read."""
        try:
            with safe_open(self.path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it cannot be iterated)
                return _parse(file.metadata()["journal"]), tensors
        except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
            raise InvalidInputError(f"{self.path} is not a checkpoint ({error}); delete it to start again") from error

    def finish(self, journal: Journal) -> None:
        """Leave the journal and take the checkpoint away."""
        write_text(self._journal, journal.to_json())
        self.path.unlink(missing_ok=True)

    def last_journal(self) -> Journal | None:
        """Return the journal of the last run that came to its end."""
        return _parse(self._journal.read_text(encoding="utf-8")) if self._journal.is_file() else None


def _parse(text: str) -> Journal:
    journal = Journal(**json.loads(text))
    journal.curve = [(step, seconds, loss, psnr) for step, seconds, loss, psnr in journal.curve]
    return journal


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state of its parameters, flat."""
    parameters = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{name}": value for i, values in parameters.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    parameters: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        if key.startswith("optimizer."):
            _, i, name = key.split(".")
            parameters.setdefault(int(i), {})[name] = value
    optimizer.load_state_dict({"state": parameters, "param_groups": optimizer.state_dict()["param_groups"]})
