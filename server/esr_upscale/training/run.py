"""From a directory of tiles to weights with a card, and from models to their figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from esr_upscale import nets
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, load_weights, save_weights
from esr_upscale.nets.edge_sr import HEADS
from esr_upscale.training.cards import new_card
from esr_upscale.training.one_layer import BATCH, PEAK_RATE, Progress, Result, Trainer, steps_in
from esr_upscale.training.protocol import evaluate
from esr_upscale.training.tiles import load_tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How to train."""

    seconds: float = 100.0
    """How long, about; sets the number of steps by timing a few."""
    steps: int | None = None
    """How many steps; `seconds` is then ignored. The same steps, seed and threads make the same weights."""
    seed: int = 1
    """Seed of everything random."""
    restarts: int = 6
    """Networks trained side by side, of which the best on held-out pictures is kept."""
    threads: int = 1
    """Threads to compute on."""


def train(
    spec: ModelSpec, tiles: Path, out: Path, settings: TrainingSettings, report: Callable[[Progress], None]
) -> Result:
    """Train `spec` on the luma tiles in the directory `tiles`; write weights and card into `out`.

    Raises InvalidInputError for a family that is not trained this way, and for tiles that cannot be used.
    """
    if spec.family not in HEADS:
        raise InvalidInputError(f"{spec.family} cannot be trained here; these families can: {', '.join(HEADS)}")
    torch.set_num_threads(settings.threads)
    loaded = load_tiles(tiles, spec.scale, spec["K"])

    def start() -> Trainer:
        return Trainer(spec, loaded, settings.seed, settings.restarts)

    result = start().run(settings.steps or steps_in(settings.seconds, start), report)
    card = new_card(spec, _recipe(spec, result, settings), tiles, len(loaded), settings.seed)
    save_weights(spec, result.weights, card, out)
    return result


def judge(spec: ModelSpec, sets: tuple[Path, ...], threads: int, *directories: Path) -> dict[str, float]:
    """Mean PSNR in dB of `spec` on each directory of pictures, by the directory's name."""
    kernel = nets.plan(spec, load_weights(spec, *directories), 8, threads=threads)
    return {data.name: round(evaluate(kernel, spec.scale, data), 3) for data in sets}


def _recipe(spec: ModelSpec, result: Result, settings: TrainingSettings) -> str:
    kernel = spec["K"]
    return (
        f"Regression over {kernel}×{kernel} patches drawn from the tiles: {result.steps} steps of Adam (batch {BATCH}, "
        f"peak rate {PEAK_RATE}, cosine, weights averaged) with {settings.restarts} restarts, the best on held-out "
        "pictures kept; one phase of each symmetry orbit trained, the others turned from it"
    )
