"""Training data: a directory of luma tiles, as patches of LR with the HR pixels they stand for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.errors import InvalidInputError
from esr_upscale.filters import Siting
from esr_workbench.datasets.symmetry import Symmetry
from esr_workbench.evaluation.pictures import list_pictures
from esr_workbench.evaluation.protocol import crop, degrade, psnr

HELD_OUT = 0.1
"""The share of pictures kept from training, to choose between restarts."""
HELD_OUT_SEED = 1
PATCH_MSE, CROP_MSE = 3.0, 40.0
"""What is added to the mean squared error of a tile, in squared code values, before patches and crops are weighted."""
FULL_RANGE = 0.25
"""The share of crops that are stretched from limited range (16…235) to full range; video comes in both."""


@dataclass(frozen=True)
class Tile:
    """One tile at both sizes."""

    picture: str
    """The picture it was cut from."""
    lr: NDArray[np.uint8]
    """(h, w)."""
    hr: NDArray[np.uint8]
    """(h, w, s²): the phases of every LR pixel."""
    bicubic_mse: float
    """What bicubic leaves, in squared code values."""
    emphasis: float = 1.0
    """How many times as often as others it is drawn."""

    def picture_hr(self) -> NDArray[np.uint8]:
        """Return HR as a picture: (s·h, s·w)."""
        height, width, phases = self.hr.shape
        scale = math.isqrt(phases)
        return self.hr.reshape(height, width, scale, scale).swapaxes(1, 2).reshape(height * scale, width * scale)


class _Flat:
    """Tiles laid out flat, to draw squares of `size`×`size` LR pixels from in any number."""

    def __init__(self, tiles: list[Tile], size: int, added_mse: float) -> None:
        sizes = torch.tensor([tile.lr.shape for tile in tiles])
        self.size = size
        self._lr = torch.cat([torch.from_numpy(tile.lr).flatten() for tile in tiles])
        self._hr = torch.cat([torch.from_numpy(tile.hr).flatten(0, 1) for tile in tiles])
        self._starts, self._widths = sizes.prod(1).cumsum(0) - sizes.prod(1), sizes[:, 1]
        self._room = sizes - (size - 1)  # where a square's first pixel may lie
        # PSNR is averaged over pictures as a logarithm, so a picture's squared error counts by 1/(its mean squared
        # error). Drawing tiles by that weight makes the plain mean of a batch the thing to minimise. But a tile is a
        # piece of a picture, and the error of a whole one is hardly ever as low as that of its flat parts.
        self._chances = torch.tensor([tile.emphasis / (tile.bicubic_mse + added_mse) for tile in tiles])

    def _places(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        # The first pixel of each square, and the width of its tile: (count,) each.
        tile = torch.multinomial(self._chances, count, replacement=True, generator=generator)
        where = (torch.rand(count, 2, generator=generator) * self._room[tile]).long()
        width = self._widths[tile]
        return self._starts[tile] + where[:, 0] * width + where[:, 1], width

    def _squares(self, first: Tensor, width: Tensor) -> Tensor:
        # Where their pixels are: (count, size, size).
        steps = torch.arange(self.size)
        return first[:, None, None] + steps[:, None] * width[:, None, None] + steps


class Patches(_Flat):
    """Patches of K×K pixels, with the HR pixels of the one in their middle."""

    def __init__(self, tiles: list[Tile], size: int) -> None:
        super().__init__(tiles, size, PATCH_MSE)

    def draw(self, count: int, symmetry: Symmetry, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw patches (count, K²) in all positions, and the HR pixels of the orbits (count, orbits), in [0, 1]."""
        first, width = self._places(count, generator)
        middle = self.size // 2 * (width + 1)
        patches, pixels = self._lr[self._squares(first, width).flatten(1)], self._hr[first + middle]
        x, y = [], []
        parts = zip(patches.tensor_split(8), pixels.tensor_split(8), symmetry.patch, symmetry.phase, strict=True)
        for patch, pixel, turn, phase in parts:
            x.append(patch[:, turn])
            y.append(pixel[:, phase[list(symmetry.orbits)]])
        return torch.cat(x).float() / 255, torch.cat(y).float() / 255


class Crops(_Flat):
    """Crops, with the HR pixels of all but a margin."""

    def __init__(self, tiles: list[Tile], size: int, margin: int) -> None:
        super().__init__(tiles, size, CROP_MSE)
        self.margin = margin

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw crops in all positions. All weigh the same; chances do what weights would."""
        where = self._squares(*self._places(count, generator))
        inside = slice(self.margin, self.size - self.margin)
        hr = self._hr[where[:, inside, inside]]  # (count, h, w, s²)
        hr = functional.pixel_shuffle(hr.movedim(3, 1), math.isqrt(hr.shape[3]))
        is_full_range = torch.rand(count, 1, 1, 1, generator=generator) < FULL_RANGE
        crops = []
        for squares in (self._lr[where][:, None], hr):
            # An eighth of them in each position.
            parts = enumerate(squares.tensor_split(8))
            positions = [torch.rot90(part if i < 4 else part.mT, i % 4, (2, 3)) for i, part in parts]
            pictures = torch.cat(positions).float() / 255
            crops.append(torch.where(is_full_range, (pictures * 255 - 16) / 219, pictures))
        return crops[0], crops[1], torch.ones(count, 1, 1, 1)


def load_tiles(directory: Path, scale: int, kernel: int, emphasis: Mapping[str, float] | None = None) -> list[Tile]:
    """Read the tiles in `directory`: 8-bit PNG of luma in limited range.

    `emphasis` has the beginnings of names, and how many times as often as others such tiles are to be drawn.
    Raises InvalidInputError for colour, for tiles too small to use, and for an emphasis on tiles that are not there.
    """
    paths, tiles, factors = list_pictures(directory), [], emphasis or {}
    for start in factors:
        if not any(path.name.startswith(start) for path in paths):
            raise InvalidInputError(f"emphasis: there is no tile whose name begins with {start!r}")
    for path in paths:
        hr = crop(_read_tile(path), scale)
        if min(hr.shape) < scale * max(kernel, 3):
            raise InvalidInputError(f"{path.name} is too small: ×{scale} needs {max(kernel, 3) * scale} pixels a side")
        lr = degrade(hr, scale)
        phases = hr.reshape(lr.shape[0], scale, lr.shape[1], scale).swapaxes(1, 2).reshape(*lr.shape, scale**2)
        bicubic = torch_kernel.plan_chroma(scale, Siting.CENTRED, Siting.CENTRED, 8)
        mse = 255**2 * 10 ** (-psnr(bicubic(lr), hr, scale) / 10)
        # A name is picture_y_x, with the place of the tile in its picture.
        picture = re.sub(r"_\d+_\d+$", "", path.stem)
        factor = math.prod(factor for start, factor in factors.items() if path.name.startswith(start))
        tiles.append(Tile(picture, lr, np.ascontiguousarray(phases), mse, factor))
    return tiles


def split(tiles: list[Tile]) -> tuple[list[Tile], list[Tile]]:
    """Return tiles to train on and tiles of other pictures to hold out. Raises InvalidInputError for one picture.

    Always the same pictures, so that runs of different seeds can be compared by what they reach on them.
    """
    pictures = sorted({tile.picture for tile in tiles})
    if len(pictures) < 2:
        raise InvalidInputError("the tiles are all of one picture; at least two are needed, to hold one out")
    count = max(1, round(HELD_OUT * len(pictures)))
    held_out = set(np.random.default_rng(HELD_OUT_SEED).permutation(pictures)[:count].tolist())
    return [t for t in tiles if t.picture not in held_out], [t for t in tiles if t.picture in held_out]


def _read_tile(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            if image.mode == "L":
                return np.asarray(image)
            mode = image.mode
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidInputError(f"{path} cannot be read as a tile: {error}") from error
    raise InvalidInputError(
        f"{path.name} is of mode {mode}; tiles are 8-bit luma, mode L. `esr tiles` makes them from any pictures"
    )
