"""Crops of degraded clips: LR and HR belong together in every position, and a network learns from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from esr_upscale.backends.halide.edge_sr import filters_of
from esr_upscale.backends.halide.symmetry import are_mirrored
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import Source, load_card, load_nodes, load_weights, resolve
from esr_workbench.datasets import pairs
from esr_workbench.datasets.clips import (
    EASE,
    POOR,
    POOR_DRAWN,
    ClipSource,
    Node,
    PairCache,
    chances_of,
    make_clips,
)
from esr_workbench.datasets.pairs import PairSettings
from esr_workbench.datasets.tiles import Tile, load_tiles
from esr_workbench.degradation.resampling import enlarge
from esr_workbench.training.loop import Progress, TrainingStoppedError
from esr_workbench.training.run import VIDEO, TrainingSettings, train
from tests.support.pictures import write_tiles

SETTINGS = PairSettings(scale=2, mosaics=6, ways=3)


def ignore(_step: int, _total: int) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> list[Tile]:
    """Tiles of several pictures."""
    return load_tiles(write_tiles(tmp_path_factory.mktemp("tiles"), size=256), 2, 5)


@pytest.fixture(scope="module")
def folder(tiles: list[Tile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of clips."""
    return make_clips(tiles, tmp_path_factory.mktemp("clips"), SETTINGS, ignore)


class Bicubic(nn.Module):
    """What torch upscales by."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Double the size."""
        return functional.interpolate(x, scale_factor=2, mode="bicubic")


def test_crops_and_their_pixels(folder: Path) -> None:
    x, y, weight = ClipSource(folder).crops(32, 3).draw(200, torch.Generator().manual_seed(1))
    assert (x.shape, y.shape, weight.shape) == ((200, 1, 32, 32), (200, 1, 52, 52), (200, 1, 1, 1))
    up = torch.from_numpy(enlarge(x.numpy(), 2))[..., 6:-6, 6:-6]
    errors = (up - y).square().mean((1, 2, 3)) * 255**2
    # Whichever way a crop lies, its HR lies the same; full range makes an error larger by (255/219)².
    expected = EASE / weight.flatten() - EASE
    assert torch.median((errors - expected).abs() / (expected + 1)) < 0.4
    mirrored = (up.flip(3) - y).square().mean((1, 2, 3)) * 255**2
    assert mirrored.median() > 4 * errors.median()


def test_full_range_is_among_them(folder: Path) -> None:
    x, _, _ = ClipSource(folder).crops(32, 3).draw(400, torch.Generator().manual_seed(1))
    assert x.min() < 16 / 255 - 0.02


def test_the_figure_is_a_psnr(folder: Path) -> None:
    source = ClipSource(folder)
    assert 20 < source.judge(Bicubic(), 2) < 50


def test_clips_are_made_once(tiles: list[Tile], folder: Path) -> None:
    reports: list[int] = []
    assert make_clips(tiles, folder.parent, SETTINGS, lambda step, _: reports.append(step)) == folder
    assert not reports


def test_emphasis_draws_a_tile_more_often() -> None:
    order = pairs._order([1.0, 3.0], 400, np.random.default_rng(1))
    assert np.bincount(order).tolist() == [100, 300]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_of_256_serve_every_scale(scale: int, tmp_path: Path) -> None:
    square = load_tiles(write_tiles(tmp_path / "tiles", size=256), scale, 5)
    settings = PairSettings(scale=scale, mosaics=1, ways=1)
    crops = ClipSource(make_clips(square, tmp_path, settings, ignore)).crops(24, 2)
    x, y, _ = crops.draw(4, torch.Generator().manual_seed(1))
    assert (x.shape[-1], y.shape[-1]) == (24, scale * 20)


def test_small_tiles_are_refused(tmp_path: Path) -> None:
    small = load_tiles(write_tiles(tmp_path / "tiles"), 2, 5)
    with pytest.raises(InvalidInputError, match="need tiles of 240x240 pixels or more"):
        make_clips(small, tmp_path / "clips", SETTINGS, ignore)


def test_an_unfinished_cache_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no finished pairs"):
        ClipSource(tmp_path)


@pytest.mark.parametrize("name", ["espcn_x2_d4_s3", "esr_tr_x2_k3_c2"])
def test_a_network_is_trained_on_video(name: str, tmp_path: Path) -> None:
    spec, tiles = resolve(name), write_tiles(tmp_path / "tiles", size=256)
    settings = TrainingSettings(degradation=VIDEO, mosaics=4, ways=2, steps=40, batch=4, crop=24)
    reports: list[Progress] = []

    def stop() -> bool:
        return len(reports) == 3

    with pytest.raises(TrainingStoppedError, match="after clip 3 of 4"):
        train(spec, tiles, tmp_path / "out", settings, reports.append, stop)
    assert reports[-1].doing == "degrading clips"
    journal = train(spec, tiles, tmp_path / "out", settings, lambda _: None)
    assert journal.curve[-1][3] > journal.curve[0][3] + 0.3
    if name.startswith("esr_tr"):  # what its fused kernel is fast by
        assert are_mirrored(filters_of(spec, load_weights(spec, tmp_path / "out"), 255))
    assert "4 mosaics of moving tiles, each degraded in 2 ways" in load_card(spec, tmp_path / "out").recipe


def test_poor_clips_are_drawn_more_often(folder: Path) -> None:
    cache = PairCache(folder / "trained")
    poor = cache.quantizers.ravel() > POOR
    assert poor.any()
    assert np.array_equal(chances_of(cache, None), np.where(poor, POOR_DRAWN, 1))


def test_nodes_are_trained_on_their_own_clips(tiles: list[Tile], folder: Path) -> None:
    cache = ClipSource(folder)
    for quantizer in (0.0, 20.0, 30.0):
        source = ClipSource(folder, Node(Source(quantizer), (0.0, 20.0, 30.0)))
        lr, _, _ = source.crops(32, 3).draw(30, torch.Generator().manual_seed(1))
        assert len({crop.numpy().tobytes() for crop in lr}) > 20
        assert "damaged as by the node's quantiser (0, 20, 30), of 6 mosaics" in source.describe()
        assert source.judge(Bicubic(), 2) != cache.judge(Bicubic(), 2)


def test_training_of_nodes(tmp_path: Path) -> None:
    tiles = write_tiles(tmp_path / "tiles", size=256)
    spec = resolve("esr_stack_x2_c3_l2")
    settings = TrainingSettings(degradation=VIDEO, mosaics=6, ways=3, steps=10, batch=4, crop=24)
    train(spec, tiles, tmp_path / "out", settings, lambda _: None)
    blind = load_weights(spec, tmp_path / "out")
    further = replace(settings, start=str(tmp_path / "out"), nodes=("0", "20", "30"))
    with pytest.raises(TrainingStoppedError):
        train(spec, tiles, tmp_path / "out", further, lambda _: None, _after(14))
    assert load_nodes(spec, tmp_path / "out") is None
    steps: list[int] = []
    train(spec, tiles, tmp_path / "out", further, lambda p: steps.append(p.step))
    nodes = load_nodes(spec, tmp_path / "out")
    assert nodes is not None
    assert nodes.quantizers == (0.0, 20.0, 30.0)
    further_steps: list[int] = []
    train(spec, tiles, tmp_path / "out", further, lambda p: further_steps.append(p.step))
    assert len(further_steps) == 30  # once more from the start
    assert len(steps) < 20  # the first node was trained already, and a part of the second
    assert all(np.array_equal(load_weights(spec, tmp_path / "out")[name], blind[name]) for name in blind)
    assert len({nodes.at(Source(q))["net.0.weight"].tobytes() for q in (0.0, 20.0, 30.0)}) == 3
    recipe = load_card(spec, tmp_path / "out").recipe
    assert recipe.count("; its nodes from there 10 steps") == 1
    assert "node's quantiser (0, 20, 30)" in recipe
    nodes = load_nodes(spec, tmp_path / "out")
    assert nodes is not None
    by_downscaler = replace(settings, start=str(tmp_path / "out"), nodes=("0/area",))
    train(spec, tiles, tmp_path / "out", by_downscaler, lambda _: None)
    more = load_nodes(spec, tmp_path / "out")
    assert more is not None
    assert more.sets.keys() == nodes.sets.keys() | {Source(0.0, "area")}
    for node, tensors in nodes.sets.items():
        assert all(np.array_equal(more.at(node)[name], tensor) for name, tensor in tensors.items())
    continued = load_card(spec, tmp_path / "out").recipe
    assert continued.startswith(f"{recipe}; its sets for 0/area from there 10 steps")


def _after(calls: int) -> Callable[[], bool]:
    countdown = iter(range(calls))
    return lambda: next(countdown, None) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nodes": ()}, "a list of different quantisers, 0 to 51"),
        ({"nodes": ("20", "20")}, "different"),
        ({"nodes": ("0", "60")}, "0 to 51"),
        ({"nodes": "0,20"}, "a list"),
        ({"nodes": ("0", "17/area")}, 'or of quantisers with downscalers, as in "0/area"'),
        ({"nodes": ("17/nearest",)}, "downscalers are area, sharp"),
    ],
    ids=["none", "twice", "too large", "text", "with and without", "no downscaler"],
)
def test_nodes_that_cannot_be(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        TrainingSettings.of(values)


def test_nodes_need_weights_to_start_from(tmp_path: Path) -> None:
    settings = TrainingSettings(degradation=VIDEO, nodes=("0", "20"))
    with pytest.raises(InvalidInputError, match="nodes are trained from existing weights"):
        train(resolve("esr_stack_x2"), tmp_path, tmp_path, settings, lambda _: None)
