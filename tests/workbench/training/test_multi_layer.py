"""Training by convolution: it learns, it repeats, it goes on from a checkpoint as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch

from esr_upscale import nets
from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.backends.torch.kernel import torch_threads
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import resolve
from esr_workbench.datasets.crops import TileSource
from esr_workbench.datasets.tiles import Crops, Tile, load_tiles, split
from esr_workbench.evaluation.protocol import psnr
from esr_workbench.training import multi_layer
from esr_workbench.training.checkpoint import Checkpoint, Journal
from esr_workbench.training.loop import DivergedError, Trainer, TrainingStoppedError, run
from esr_workbench.training.multi_layer import CropTrainer
from esr_workbench.training.one_layer import PatchTrainer
from tests.support.pictures import write_tiles

NAME = "esr_tm_x2_k3_c2"
FAMILIES = ["esr_cnn_x2_c2_d3_s2", "espcn_x2_d4_s3", "fsrcnn_x2_d5_s3_m1", "espcn_x3_d0_s3"]
Make: TypeAlias = Callable[[list[Tile]], Trainer]


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(multi_layer, "ROWS", 512)
    monkeypatch.setattr(multi_layer, "PART", 256)
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> list[Tile]:
    return load_tiles(write_tiles(tmp_path_factory.mktemp("data") / "tiles"), 2, 5)


def _crops(tiles: list[Tile], seed: int = 1) -> CropTrainer:
    return CropTrainer(resolve(NAME), TileSource(tiles), seed, batch=8, crop=24, rate=2e-2)


def _patches(tiles: list[Tile]) -> PatchTrainer:
    return PatchTrainer(resolve(NAME), tiles, seed=1, restarts=2)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_falls(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    spec = resolve(name)
    tiles = load_tiles(write_tiles(tmp_path_factory.mktemp("data") / "tiles"), spec.scale, 2 * spec.radius + 1)
    trainer = CropTrainer(spec, TileSource(tiles), 1, batch=8, crop=24, rate=2e-2)
    losses = [trainer.step(step / 400) for step in range(1, 21)]  # Adam's part of a run
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])
    for _ in range(200):  # Gauss–Newton is for weights that are near
        trainer.step(0.05)
    newton = [trainer.step(0.1) for _ in range(60)]
    assert np.mean(newton[-10:]) < 0.9 * np.mean(newton[:10])


def test_a_crop_must_be_larger_than_its_margin(tiles: list[Tile]) -> None:
    with pytest.raises(InvalidInputError, match="crops of 4 pixels leave nothing inside a margin of 2"):
        CropTrainer(resolve("espcn_x2_d0_s3"), TileSource(tiles), 1, batch=8, crop=4, rate=2e-2)


def test_a_stack_gets_past_bicubic(tiles: list[Tile]) -> None:
    trainer = CropTrainer(resolve("esr_stack_x2_c4_l3"), TileSource(tiles), 1, batch=8, crop=24, rate=4e-3)
    run(trainer, Journal({}, 300), lambda _: None)
    assert trainer.judge() > TileSource(tiles).judge(nets.build_module(resolve("bicubic_x2")), 2) + 0.2


def test_a_seed_makes_the_same_weights(tiles: list[Tile]) -> None:
    first, again, other = (_crops(tiles, seed) for seed in (1, 1, 2))
    for i, trainer in enumerate((first, again, other)):
        torch.manual_seed(i)  # what others do with torch's own generator must not matter
        run(trainer, Journal({}, 10), lambda _: None)
    assert _same(first, again)
    assert not _same(first, other)
    assert first.weights()["filter.weight"].dtype == np.float32


@pytest.mark.parametrize("make", [_crops, _patches])
def test_a_stopped_run_goes_on_to_the_bit(
    make: Callable[[list[Tile]], Trainer], tiles: list[Tile], tmp_path: Path
) -> None:
    whole, first, second = (make(tiles) for _ in range(3))
    run(whole, Journal({}, 30), lambda _: None)
    checkpoint, journal = Checkpoint(resolve(NAME), tmp_path), Journal({"seed": 1}, 30)
    with pytest.raises(TrainingStoppedError, match="before step 13 of 30"):
        run(first, journal, lambda _: None, checkpoint, lambda: journal.step == 12)
    stored_journal, state = checkpoint.read()
    assert stored_journal == journal
    second.restore(state)
    run(second, stored_journal, lambda _: None)
    assert _same(whole, second)
    assert [row[0] for row in stored_journal.curve] == list(range(1, 31))
    checkpoint.finish(stored_journal)
    assert checkpoint.last_journal() == stored_journal
    assert not checkpoint.exists()


def test_a_diverged_run_is_an_error(tiles: list[Tile]) -> None:
    trainer = CropTrainer(resolve(NAME), TileSource(tiles), 1, batch=8, crop=24, rate=1e30)
    with pytest.raises(DivergedError, match="at step 2; a lower rate"):
        run(trainer, Journal({}, 100), lambda _: None)
    assert all(np.isfinite(value).all() for value in trainer.weights().values())


def test_a_run_goes_on_from_weights(tiles: list[Tile]) -> None:
    first = _crops(tiles)
    run(first, Journal({}, 300), lambda _: None)
    reached = first.judge()
    second = CropTrainer(resolve(NAME), TileSource(tiles), 2, batch=8, crop=24, rate=2e-2, start=first.weights())
    assert second.judge() == reached
    run(second, Journal({}, 100), lambda _: None)
    assert second.judge() > reached - 0.05
    assert _crops(tiles).judge() < reached - 1
    assert "all by Adam in the coordinates" in second.recipe(100)


def test_crops_and_their_pixels(tiles: list[Tile]) -> None:
    # Bicubic on crops must be as near to their HR as it is on the tiles, whichever way the crops lie.
    x, y, _ = Crops(tiles, 24, margin=2).draw(256, torch.Generator().manual_seed(3))
    assert (x.shape, y.shape) == ((256, 1, 24, 24), (256, 1, 40, 40))
    up = nets.build_module(resolve("bicubic_x2"))(x)[..., 4:-4, 4:-4]
    mse = (up - y).square().mean((1, 2, 3)) * 255**2
    assert mse.view(8, 32).mean(1).max() < 2 * max(tile.bicubic_mse for tile in tiles)


def test_the_figure_is_that_of_the_network(tiles: list[Tile]) -> None:
    trainer = _crops(tiles)
    run(trainer, Journal({}, 20), lambda _: None)
    kernel = torch_kernel.plan(resolve(NAME), trainer.weights(), 8)
    figures = [psnr(kernel(tile.lr), tile.picture_hr(), 2) for tile in split(tiles)[1]]
    assert trainer.judge() == pytest.approx(np.mean(figures), abs=0.01)


def _same(a: Trainer, b: Trainer) -> bool:
    pairs = zip(a.weights().values(), b.weights().values(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)
