"""Crops of degraded clips, from a cache of pairs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import Source
from esr_upscale.models.nodes import DOWNSCALERS
from esr_upscale.replacement import replace_file
from esr_workbench.datasets.pairs import (
    COLUMNS,
    SLACK_PX,
    WINDOW_PX,
    WINDOWS,
    PairSettings,
    make_pairs,
    read_settings,
    read_ways,
)
from esr_workbench.datasets.tiles import FULL_RANGE, Tile, split
from esr_workbench.degradation.damage import MEASURE, damage_maps, damage_of_window, shares_of
from esr_workbench.degradation.degrade import CODECS, Degradation
from esr_workbench.degradation.resampling import enlarge

EASE = 6.0
"""Added to the squared error of Lanczos, in squared code values, before crops are weighted by it: flat ones hardly
differ. With 30, smooth pictures counted for too little: after as many steps, a smooth clip (45 dB) lost 0.59 dB against
Lanczos instead of 0.26, and six clips of all kinds gained 0.03 less."""
JUDGED = 240
"""Held-out windows that the figure is of."""
POOR, POOR_DRAWN = 28.0, 5.0
"""Clips that are damaged more than that are drawn so many times as often for the blind weights. The loss says little
about them, because networks can do little there; yet that is where weights for better sources fall below Lanczos."""
COMMON = {"bicubic": 3.0}
"""How many times as often clips are drawn, for sets for downscalers, that the scaler of most encoders made small."""
BASE = "lanczos4"


@dataclass(frozen=True, slots=True)
class Node:
    """A source that weights are trained for, and the quantisers of all nodes of the model, ascending."""

    source: Source
    quantizers: tuple[float, ...]


_TRAINED, _HELD = "trained", "held"
_HELD_SHARE = 12
"""One clip to judge by for so many to train on."""


def make_clips(tiles: list[Tile], folder: Path, settings: PairSettings, report: Callable[[int, int], None]) -> Path:
    """Degrade clips of tiles, or find those that were made of the same before; return where they lie in `folder`.

    Raises:
        InvalidInputError: a tile is too small, or all are of one picture.
    """
    smallest = min(min(tile.picture_hr().shape) for tile in tiles)
    least = -(-(WINDOW_PX[settings.scale] + SLACK_PX) // settings.scale) * settings.scale
    if smallest < least:
        raise InvalidInputError(
            f"clips at x{settings.scale} need tiles of {least}x{least} pixels or more, and one has {smallest}"
        )
    digest = hashlib.sha256(repr(settings).encode())
    for tile in tiles:
        digest.update(tile.hr.tobytes())
        digest.update(repr(tile.emphasis).encode())
    place = folder / f"clips_x{settings.scale}_{digest.hexdigest()[:12]}"
    training_tiles, held_out_tiles = split(tiles)
    held_out_settings = replace(settings, mosaics=max(4, settings.mosaics // _HELD_SHARE))
    for name, part, part_settings in ((_TRAINED, training_tiles, settings), (_HELD, held_out_tiles, held_out_settings)):
        pictures = [tile.picture_hr() for tile in part]
        make_pairs(pictures, [tile.emphasis for tile in part], place / name, part_settings, report)
    return place


class ClipCrops:
    """Crops of the windows of mosaics. A CropSampler."""

    def __init__(self, cache: PairCache, chances: NDArray[np.float64], size: int, margin: int) -> None:
        """Draw windows of clips in proportion to `chances` (mosaics · ways · windows)."""
        self._cache = cache
        self._ends = np.cumsum(chances) / chances.sum()
        self.size, self.margin = size, margin

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw crops of degraded clips. A crop counts by 1 / (the squared error of Lanczos on it + EASE)."""
        cache, size, scale = self._cache, self.size, self._cache.settings.scale
        inside = slice(scale * self.margin, scale * (size - self.margin))
        lr, hr = np.empty((count, size, size), np.float32), np.empty((count, scale * size, scale * size), np.float32)
        draws = torch.rand(count, 5, generator=generator, dtype=torch.float64).numpy()
        weights = np.empty(count, np.float32)
        for n, (which, frame, down, across, turn) in enumerate(draws):
            places = cache.window - size + 1
            part = int(np.searchsorted(self._ends, which, side="right"))
            window = cache.read(part, _index(frame, cache.lr.shape[2]))
            y, x = _index(down, places), _index(across, places)
            small = window[0][y : y + size, x : x + size]
            large = window[1][scale * y : scale * (y + size), scale * x : scale * (x + size)]
            weights[n] = 1 / (np.square(enlarge(small, scale, BASE) - large)[inside, inside].mean() + EASE)
            lr[n], hr[n] = _turn(small, _index(turn, 8)), _turn(large, _index(turn, 8))
        is_full_range = torch.rand(count, 1, 1, generator=generator) < FULL_RANGE
        pictures = (torch.from_numpy(picture) for picture in (lr, hr[:, inside, inside]))
        small_ones, large_ones = (torch.where(is_full_range, (p - 16) / 219, p / 255)[:, None] for p in pictures)
        return small_ones, large_ones, torch.from_numpy(weights * EASE)[:, None, None, None]


def chances_of(cache: PairCache, node: Node | None) -> NDArray[np.float64]:
    """Return how often each window of a cache is drawn (mosaics · ways · windows), for a node or the blind weights.

    Raises:
        InvalidInputError: no clip is for the node.
    """
    if node is None:
        return np.where(cache.quantizers > POOR, POOR_DRAWN, 1.0).ravel()
    rates = np.array([[_draw_rate(node.source, way) for way in row] for row in cache.ways])
    chances = (rates[..., None] * shares_of(node.source.quantizer, node.quantizers, cache.quantizers)).ravel()
    if not (chances >= 0.5).any():
        raise InvalidInputError(f"the node {node.source} has no clips; make more, or leave it out")
    return chances


def _draw_rate(source: Source, way: Degradation) -> float:
    """Return how often clips that went a way are drawn for a source, in proportion; 0: they are not for it."""
    # A server cannot tell noise from fine detail, which costs bits too: it is for the blind set.
    if way.noise > 0:
        return 0.0
    if not source.downscaler:
        return 1.0
    # Blurred and aliased pictures look as if something else had made them small.
    is_pure = (way.blur_px, way.sharpness) == (0.0, 1.0)
    return COMMON.get(way.kernel, 1.0) if is_pure and way.kernel in DOWNSCALERS[source.downscaler] else 0.0


def _index(share: float, count: int) -> int:
    return min(int(share * count), count - 1)


def _turn(picture: NDArray[np.uint8], way: int) -> NDArray[np.uint8]:
    return np.rot90(picture if way < 4 else picture.T, way % 4)


class PairCache:
    """A folder of pairs, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        self.settings: PairSettings = read_settings(folder)
        self.hr: NDArray[np.uint8] = np.load(folder / "hr.npy", mmap_mode="r")
        self.lr: NDArray[np.uint8] = np.load(folder / "lr.npy", mmap_mode="r")
        self.window = self.lr.shape[-1] // COLUMNS
        """LR pixels on a side of a mosaic's windows."""
        self.ways: list[list[Degradation]] = read_ways(folder)
        self._folder = folder

    def read(self, part: int, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the small and the large window number `part`, of all windows of all ways of all mosaics."""
        clip, window = divmod(part, WINDOWS)
        mosaic, way = divmod(clip, self.lr.shape[1])
        row, column = divmod(window, COLUMNS)
        large_px = self.window * self.settings.scale
        small = self.lr[mosaic, way, frame][_square(row, column, self.window)]
        return small, self.hr[mosaic, frame][_square(row, column, large_px)]

    @cached_property
    def quantizers(self) -> NDArray[np.float64]:
        """Return the damage of each window (mosaics, ways, windows). It is measured on one frame, once for a folder."""
        path = self._folder / f"damage_{MEASURE}.npy"
        if path.exists():
            stored: NDArray[np.float64] = np.load(path)
            return stored
        rng = np.random.default_rng(0)
        measured = np.empty((*self.lr.shape[:2], WINDOWS))
        for mosaic, row in enumerate(self.ways):
            for number, way in enumerate(row):
                maps = damage_maps(self.hr[mosaic, 0], self.lr[mosaic, number, 0], way, self.settings.scale, rng)
                measured[mosaic, number] = [
                    damage_of_window(maps, *divmod(window, COLUMNS), self.window) for window in range(WINDOWS)
                ]
        with replace_file(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, measured)
        return measured


def _square(row: int, column: int, size_px: int) -> tuple[slice, slice]:
    return slice(row * size_px, (row + 1) * size_px), slice(column * size_px, (column + 1) * size_px)


class ClipSource:
    """Degraded clips to train on, and others to judge by. A CropSource."""

    def __init__(self, folder: Path, node: Node | None = None) -> None:
        """Open what `make_clips` made; of that, where a `node` is given, the clips that it is for.

        Raises:
            InvalidInputError: it is not there, or not finished; or there is no clip for the node.
        """
        self._training_clips, self._held_out_clips = PairCache(folder / _TRAINED), PairCache(folder / _HELD)
        self._node = node
        self._training_chances = chances_of(self._training_clips, node)
        self._held_out_chances = chances_of(self._held_out_clips, node)
        self.smallest = self._training_clips.window

    def crops(self, size: int, margin: int) -> ClipCrops:
        return ClipCrops(self._training_clips, self._training_chances, size, margin)

    @torch.no_grad()
    def judge(self, module: nn.Module, scale: int) -> float:
        """Return the mean PSNR in dB over up to JUDGED held-out windows."""
        cache, parts = self._held_out_clips, np.flatnonzero(self._held_out_chances >= 0.5)
        figures = []
        for number, part in enumerate(parts[:: -(-len(parts) // JUDGED)]):
            small, large = (
                torch.from_numpy(x.astype(np.float32)) for x in cache.read(part, number % cache.lr.shape[2])
            )
            difference = (module(small[None, None] / 255)[0, 0] * 255).clamp(0, 255).round() - large
            inner = slice(scale, -scale)
            figures.append(-10 * math.log10(float(difference[inner, inner].square().mean()) / 255**2 + 1e-8))
        return float(np.mean(figures))

    def describe(self) -> str:
        settings = self._training_clips.settings
        if self._node is None:
            part = f"the clips, {POOR_DRAWN:g} times as often those damaged by more than {POOR:g}, of "
        else:
            quantizers = ", ".join(f"{quantizer:g}" for quantizer in self._node.quantizers)
            downscaler = ", and for a downscaler made small by it" if self._node.source.downscaler else ""
            part = f"the clips that are damaged as by the node's quantiser ({quantizers}){downscaler}, of "
        return (
            f"{part}{settings.mosaics} mosaics of moving tiles, each degraded in {settings.ways} ways "
            f"(downscalers, blur, noise, {', '.join(CODECS)}, a fifth clean; seed {settings.seed}), in all eight "
            f"positions, a share of {FULL_RANGE} stretched to full range, weighted by 1/(the squared error of Lanczos "
            f"+ {EASE:g})"
        )
