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
from esr_upscale.replacement import replace_file
from esr_upscale.training.degradation.damage import damage_of, shares_of
from esr_upscale.training.degradation.degrade import CODECS
from esr_upscale.training.degradation.pairs import (
    COLUMNS,
    ROWS,
    SLACK_PX,
    WINDOW_PX,
    PairSettings,
    make_pairs,
    read_settings,
    read_ways,
)
from esr_upscale.training.degradation.resampling import enlarge
from esr_upscale.training.tiles import FULL_RANGE, Tile, split

EASE = 30.0
"""Added to the squared error of Lanczos, in squared code values, before crops are weighted by it: flat ones hardly
differ."""
JUDGED = 48
"""Held-out frames that the figure is of."""
BASE = "lanczos4"


@dataclass(frozen=True, slots=True)
class Node:
    """A quantiser that weights are trained for, and all those of the model, ascending."""

    quantizer: float
    among: tuple[float, ...]


_TRAINED, _HELD = "trained", "held"
_HELD_SHARE = 12
"""One clip to judge by for so many to train on."""


def make_clips(tiles: list[Tile], folder: Path, settings: PairSettings, report: Callable[[int, int], None]) -> Path:
    """Degrade clips of tiles, or find those that were made of the same before; return where they lie in `folder`.

    Raises:
        InvalidInputError: a tile is too small, or all are of one picture.
    """
    smallest = min(min(tile.picture_hr().shape) for tile in tiles)
    least = WINDOW_PX[settings.scale] + SLACK_PX
    if smallest < least:
        raise InvalidInputError(
            f"clips at x{settings.scale} need tiles of {least}x{least} pixels or more, and one has {smallest}"
        )
    digest = hashlib.sha256(repr(settings).encode())
    for tile in tiles:
        digest.update(tile.hr.tobytes())
        digest.update(repr(tile.emphasis).encode())
    place = folder / f"clips_x{settings.scale}_{digest.hexdigest()[:12]}"
    trained, held = split(tiles)
    judged = replace(settings, mosaics=max(4, settings.mosaics // _HELD_SHARE))
    for name, part, of in ((_TRAINED, trained, settings), (_HELD, held, judged)):
        pictures = [tile.picture_hr() for tile in part]
        make_pairs(pictures, [tile.emphasis for tile in part], place / name, of, report)
    return place


class ClipCrops:
    """Crops of the windows of mosaics. A CropSampler."""

    def __init__(self, cache: PairCache, chances: NDArray[np.float64], size: int, margin: int) -> None:
        """Draw clips, mosaic after mosaic with all ways of each, in proportion to `chances`."""
        self._cache = cache
        self._ends = np.cumsum(chances) / chances.sum()
        self.size, self.margin = size, margin

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """As CropSampler. A crop counts by 1 / (the squared error that Lanczos leaves in its clip's picture + EASE)."""
        cache, size, scale = self._cache, self.size, self._cache.settings.scale
        inside = slice(scale * self.margin, scale * (size - self.margin))
        lr, hr = np.empty((count, size, size), np.float32), np.empty((count, scale * size, scale * size), np.float32)
        chosen = torch.rand(count, 6, generator=generator, dtype=torch.float64).numpy()
        weights = np.empty(count, np.float32)
        for n, (clip, frame, window, down, across, turn) in enumerate(chosen):
            mosaic, way = divmod(int(np.searchsorted(self._ends, clip, side="right")), cache.lr.shape[1])
            place = mosaic, way, _index(frame, cache.lr.shape[2])
            row, column = divmod(_index(window, ROWS * COLUMNS), COLUMNS)
            places = cache.window - size + 1
            y, x = row * cache.window + _index(down, places), column * cache.window + _index(across, places)
            small = cache.lr[place][y : y + size, x : x + size]
            large = cache.hr[place[0], place[2]][scale * y : scale * (y + size), scale * x : scale * (x + size)]
            weights[n] = 1 / (np.square(enlarge(small, scale, BASE) - large)[inside, inside].mean() + EASE)
            lr[n], hr[n] = _turned(small, _index(turn, 8)), _turned(large, _index(turn, 8))
        stretched = torch.rand(count, 1, 1, generator=generator) < FULL_RANGE
        pictures = (torch.from_numpy(picture) for picture in (lr, hr[:, inside, inside]))
        small_ones, large_ones = (torch.where(stretched, (p - 16) / 219, p / 255)[:, None] for p in pictures)
        return small_ones, large_ones, torch.from_numpy(weights * EASE)[:, None, None, None]


def _chances(cache: PairCache, node: Node | None) -> NDArray[np.float64]:
    clips = math.prod(cache.lr.shape[:2])
    if node is None:
        return np.ones(clips)
    chances = shares_of(node.quantizer, node.among, cache.quantizers.ravel())
    if not (chances >= 0.5).any():
        raise InvalidInputError(f"none of {clips} clips is for the node {node.quantizer:g}; make more, or leave it out")
    return chances


def _index(share: float, count: int) -> int:
    return min(int(share * count), count - 1)


def _turned(picture: NDArray[np.uint8], way: int) -> NDArray[np.uint8]:
    return np.rot90(picture if way < 4 else picture.T, way % 4)


class PairCache:
    """A folder of pairs, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        self.settings: PairSettings = read_settings(folder)
        self.hr: NDArray[np.uint8] = np.load(folder / "hr.npy", mmap_mode="r")
        self.lr: NDArray[np.uint8] = np.load(folder / "lr.npy", mmap_mode="r")
        self.window = self.lr.shape[-1] // COLUMNS
        """LR pixels on a side of a mosaic's windows."""
        self._folder = folder

    @cached_property
    def quantizers(self) -> NDArray[np.float64]:
        """How much each clip was damaged (mosaics, ways); measured on one frame of each, once for a folder."""
        path = self._folder / "quantizers.npy"
        if path.exists():
            known: NDArray[np.float64] = np.load(path)
            return known
        rng, ways = np.random.default_rng(0), read_ways(self._folder)
        found = np.array(
            [
                [
                    damage_of(self.hr[mosaic, 0], self.lr[mosaic, number, 0], way, self.settings.scale, rng)
                    for number, way in enumerate(row)
                ]
                for mosaic, row in enumerate(ways)
            ]
        )
        with replace_file(path) as part, part.open("wb") as file:
            np.save(file, found)
        return found


class ClipSource:
    """Degraded clips to train on, and others to judge by. A CropSource."""

    def __init__(self, folder: Path, node: Node | None = None) -> None:
        """Open what `make_clips` made; of that, where a `node` is given, the clips that it is for.

        Raises:
            InvalidInputError: it is not there, or not finished; or there is no clip for the node.
        """
        self._trained, self._held = PairCache(folder / _TRAINED), PairCache(folder / _HELD)
        self._node = node
        self._chances, self._judged = _chances(self._trained, node), _chances(self._held, node)
        self.smallest = self._trained.window

    def crops(self, size: int, margin: int) -> ClipCrops:
        """As CropSource."""
        return ClipCrops(self._trained, self._chances, size, margin)

    @torch.no_grad()
    def judge(self, module: nn.Module, scale: int) -> float:
        """As CropSource: the mean over up to JUDGED frames or a few more, each degraded in another way."""
        held = self._held
        places = [divmod(int(clip), held.lr.shape[1]) for clip in np.flatnonzero(self._judged >= 0.5)]
        figures = []
        for number, (mosaic, way) in enumerate(places[:: max(1, len(places) // JUDGED)]):
            frame = number % held.lr.shape[2]
            small = torch.from_numpy(held.lr[mosaic, way, frame].astype(np.float32))
            up = (module(small[None, None] / 255)[0, 0] * 255).clamp(0, 255).round()
            difference = up - torch.from_numpy(held.hr[mosaic, frame].astype(np.float32))
            inner = slice(scale, -scale)
            figures.append(-10 * math.log10(float(difference[inner, inner].square().mean()) / 255**2 + 1e-8))
        return float(np.mean(figures))

    def describe(self) -> str:
        """As CropSource."""
        settings = self._trained.settings
        return (
            f"{self._part()}{settings.mosaics} mosaics of moving tiles, each degraded in {settings.ways} ways "
            f"(downscalers, blur, noise, {', '.join(CODECS)}, a fifth clean; seed {settings.seed}), in all eight "
            f"positions, a share of {FULL_RANGE} stretched to full range, weighted by 1/(the squared error of Lanczos "
            f"+ {EASE:g})"
        )

    def _part(self) -> str:
        if self._node is None:
            return ""
        among = ", ".join(f"{quantizer:g}" for quantizer in self._node.among)
        return f"the clips that are damaged as by the node's quantiser ({among}), of "
