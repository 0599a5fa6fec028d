"""Patch regression: it learns, it repeats, and what it learns is what the network does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from esr_upscale import nets
from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.backends.torch.kernel import torch_threads
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, resolve
from esr_upscale.models.edge_sr import TENSOR
from esr_workbench.datasets.symmetry import symmetry
from esr_workbench.datasets.tiles import PATCH_MSE, Patches, load_tiles, split
from esr_workbench.training import one_layer
from esr_workbench.training.checkpoint import Journal
from esr_workbench.training.loop import Progress, run, steps_in
from esr_workbench.training.one_layer import PatchTrainer
from tests.support.pictures import synthetic_luma, write_tiles

FAMILIES = ["esr_max_x2", "esr_tm_x2", "esr_tr_x2", "esr_tr_x3"]


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(one_layer, "BATCH", 1024)
    monkeypatch.setattr(one_layer, "JUDGED", 100_000)
    monkeypatch.setattr(one_layer, "ROWS", 1024)
    monkeypatch.setattr(one_layer, "LATER", 512)
    with torch_threads(1):  # so small that threads would mostly wait for each other
        yield


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("data") / "tiles")


def _trainer(name: str, tiles: Path, seed: int = 1) -> PatchTrainer:
    spec = resolve(name)
    return PatchTrainer(spec, load_tiles(tiles, spec.scale, spec["K"]), seed, restarts=3)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_falls(name: str, tiles: Path) -> None:
    trainer = _trainer(name, tiles)
    losses = [trainer.step(step / 400) for step in range(1, 21)]  # Adam's part of a run
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])
    newton = [trainer.step(0.3) for _ in range(20)]
    assert np.mean(newton[-5:]) < 0.9 * np.mean(newton[:2])


def test_a_seed_makes_the_same_weights(tiles: Path) -> None:
    reports: list[Progress] = []
    trainers = [_trainer("esr_tr_x2", tiles, seed) for seed in (1, 1, 2)]
    for trainer in trainers:
        run(trainer, Journal({}, 20), reports.append)
    first, again, other = (trainer.weights()[TENSOR] for trainer in trainers)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert [r.step for r in reports[:20]] == list(range(1, 21))
    assert reports[:20] == reports[20:40]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_figure_of_training_is_that_of_the_network(name: str, tiles: Path) -> None:
    # The whole way from patches to a picture: filters turned and put in order, codes, the engine that serves.
    spec, trainer = resolve(name), _trainer(name, tiles)
    run(trainer, Journal({}, 400), lambda _: None)
    held_out_tiles = split(load_tiles(tiles, spec.scale, spec["K"]))[1]
    kernel, s = torch_kernel.plan(spec, trainer.weights(), 8), spec.scale
    errors = np.zeros(s * s)  # of each phase
    for tile in held_out_tiles:
        # Training sees all eight positions; the network's filters are alike turned by four of them.
        for lr, hr in ((tile.lr, tile.picture_hr()), (tile.lr.T, tile.picture_hr().T)):
            errors += _phase_errors(kernel(np.ascontiguousarray(lr)), hr, spec) / (tile.bicubic_mse + PATCH_MSE)
    errors /= 2 * sum(1 / (tile.bicubic_mse + PATCH_MSE) for tile in held_out_tiles)
    rules = symmetry(spec["K"], s)
    orbits = [np.mean([errors[phase[orbit]] for phase in rules.phase]) for orbit in rules.orbits]
    assert -10 * np.mean(np.log10(orbits)) == pytest.approx(trainer.judge(), abs=0.1)


def _phase_errors(up: NDArray[np.uint8], hr: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float64]:
    # The mean squared error of each phase, where no pixel outside the tile was seen.
    s, inside = spec.scale, slice(spec.radius, -spec.radius)
    squared = ((up.astype(float) - hr) / 255) ** 2
    phases = squared.reshape(len(up) // s, s, -1, s)[inside, :, inside]
    return np.asarray(phases.mean((0, 2)).reshape(s * s))


def test_patches_and_their_pixels(tiles: Path) -> None:
    # Bicubic, worked out on drawn patches, must reach what bicubic reaches on the tiles.
    loaded = load_tiles(tiles, 2, 5)
    x, y = Patches(loaded, 5).draw(4000, symmetry(5, 2), torch.Generator().manual_seed(3))
    assert (x.shape, y.shape) == ((4000, 25), (4000, 1))
    filters = nets.build_module(resolve("bicubic_x2")).get_buffer("weight").reshape(4, 25)
    mse = float((x @ filters[0] - y[:, 0]).square().mean()) * 255**2
    assert min(t.bicubic_mse for t in loaded) * 0.8 < mse < max(t.bicubic_mse for t in loaded) * 1.2


def test_held_out_pictures_are_whole(tiles: Path) -> None:
    training_tiles, held_out_tiles = split(load_tiles(tiles, 2, 5))
    assert (len(training_tiles), len(held_out_tiles)) == (6, 2)
    assert not {t.picture for t in training_tiles} & {t.picture for t in held_out_tiles}


def test_steps_in_a_time(tiles: Path) -> None:
    assert steps_in(0.5, _trainer("esr_max_x2", tiles)) >= 1


def test_tiles_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is not a directory"):
        load_tiles(tmp_path / "missing", 2, 5)
    tile = Image.fromarray(synthetic_luma(8, 8))
    tile.save(tmp_path / "a_0_0.png")
    with pytest.raises(InvalidInputError, match="too small: ×2 needs 10 pixels"):
        load_tiles(tmp_path, 2, 5)
    tile.convert("RGB").save(tmp_path / "a_0_0.png")
    with pytest.raises(InvalidInputError, match="is of mode RGB"):
        load_tiles(tmp_path, 2, 5)
    tile.resize((64, 64)).save(tmp_path / "a_0_0.png")
    with pytest.raises(InvalidInputError, match="all of one picture"):
        split(load_tiles(tmp_path, 2, 5))
