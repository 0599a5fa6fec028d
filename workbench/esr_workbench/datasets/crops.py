"""Where a network that is trained on crops gets them from: tiles made smaller by bicubic, or degraded clips."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from esr_upscale.errors import InvalidInputError
from esr_workbench.datasets.tiles import FULL_RANGE, Crops, Tile, split

JUDGED = 64
"""Held-out tiles that the figure is of."""


class CropSampler(Protocol):
    """Crops of one size, in any number."""

    size: int
    """LR pixels on a side."""
    margin: int
    """LR pixels at each side of a crop whose HR is not given."""

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return LR (N, 1, size, size), HR (N, 1, s·(size − 2·margin), …), both in [0, 1], and weights (N, 1, 1, 1).

        The loss is the mean of weight · squared error.
        """
        ...


class CropSource(Protocol):
    """What a run is trained and judged on."""

    smallest: int
    """The largest size that a crop can have, in LR pixels."""

    def crops(self, size: int, margin: int) -> CropSampler: ...

    def judge(self, module: nn.Module, scale: int) -> float:
        """Return the mean PSNR in dB that a network reaches on what is held out."""
        ...

    def describe(self) -> str:
        """Return what crops are drawn from, for a card: "the tiles in all eight positions"."""
        ...


class TileSource:
    """Tiles made smaller by the protocol's bicubic."""

    def __init__(self, tiles: list[Tile]) -> None:
        self._training_tiles, held_out = split(tiles)
        self._held_out_tiles = held_out[:: -(-len(held_out) // JUDGED)]
        self.smallest = min(min(tile.lr.shape) for tile in self._training_tiles)

    def crops(self, size: int, margin: int) -> CropSampler:
        return Crops(self._training_tiles, size, margin)

    def judge(self, module: nn.Module, scale: int) -> float:
        """Return the mean PSNR in dB on held-out tiles, measured as `esr eval` measures pictures."""
        figures, inner = [], slice(scale, -scale)
        for tile in self._held_out_tiles:
            picture = module(torch.from_numpy(tile.lr)[None, None].float() / 255)[0, 0] * 255
            difference = picture.clamp(0, 255).round() - torch.from_numpy(tile.picture_hr())
            figures.append(-10 * math.log10(float(difference[inner, inner].square().mean()) / 255**2 + 1e-8))
        return float(np.mean(figures))

    def describe(self) -> str:
        return f"the tiles in all eight positions, a share of {FULL_RANGE} stretched to full range"


def check_size(size: int, source: CropSource, margin: int) -> int:
    """Return the size of a crop in LR pixels, at most the largest that the source has.

    Raises:
        InvalidInputError: nothing would be left inside the margin.
    """
    size = min(size, source.smallest)
    if size <= 2 * margin:
        raise InvalidInputError(f"crops of {size} pixels leave nothing inside a margin of {margin}: choose larger ones")
    return size
