"""How near upscaled pictures are to the original, and where a model gains most over what a player shows.

A player shows Lanczos here, with 4 lobes. That is strict: mpv scales by Lanczos with 3 lobes unless told otherwise, VLC
and browsers by bilinear or bicubic, and all of these have a lower PSNR on these clips. Chroma is the model's in both,
so all of a difference is luma's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from esr_workbench.degradation.resampling import enlarge

Luma = NDArray[np.uint8]
"""(frames, H, W)."""
PLAYER_KERNEL = "lanczos4"


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of one frame."""

    frame: int
    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A shot three times: the original, what a player shows, and what a model made; yuv420p arrays."""

    name: str
    original: NDArray[np.uint8]
    player: NDArray[np.uint8]
    model: NDArray[np.uint8]
    scale: int

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height of luma, below which a yuv420p array has half as many rows of chroma."""
        return self.original.shape[2], self.original.shape[1] * 2 // 3

    @property
    def psnr_db(self) -> tuple[float, float]:
        """Return the PSNR of player and model: mean over frames, without `scale` pixels at each border."""
        inner = slice(self.scale, -self.scale)
        original, *others = (
            video[:, : self.size[1]][:, inner, inner] for video in (self.original, self.player, self.model)
        )
        player, model = (float(np.mean([psnr(*pair) for pair in zip(v, original, strict=True)])) for v in others)
        return player, model

    def psnr_in(self, crop: Crop) -> tuple[float, float]:
        """Return the PSNR of player and model in a crop."""
        original, player, model = (
            video[crop.frame, : self.size[1]][crop.slices] for video in (self.original, self.player, self.model)
        )
        return psnr(player, original), psnr(model, original)

    def gain(self, frame: int) -> NDArray[np.float64]:
        """Return by how much the squared error of luma is smaller with the model, for each pixel of a frame."""
        original, player, model = (
            video[frame, : self.size[1]].astype(np.float64) for video in (self.original, self.player, self.model)
        )
        gained: NDArray[np.float64] = np.square(player - original) - np.square(model - original)
        return gained


def compare(
    name: str, originals: Sequence[av.VideoFrame], smalls: Sequence[av.VideoFrame], upscaled: Sequence[av.VideoFrame]
) -> Comparison:
    """Put frames of a shot side by side; Lanczos enlarges the luma of `smalls`.

    Raises:
        ValueError: the numbers of frames or their sizes differ.
    """
    scale = originals[0].height // smalls[0].height
    original, model = (
        np.stack([frame.to_ndarray() for frame in frames]).astype(np.uint8) for frames in (originals, upscaled)
    )
    if original.shape != model.shape:
        raise ValueError(f"{name}: the original is {original.shape}, upscaled it is {model.shape}")
    player = model.copy()
    for index, small in enumerate(smalls):
        luma = enlarge(small.to_ndarray()[: small.height], scale, PLAYER_KERNEL)
        player[index, : luma.shape[0]] = np.clip(np.rint(luma), 0, 255)
    return Comparison(name, original, player, model, scale)


def mean_psnr(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """Return the PSNR of player and model over all shots, each of which counts as much."""
    player, model = np.mean([comparison.psnr_db for comparison in comparisons], axis=0)
    return float(player), float(model)


def psnr(picture: NDArray[Any], original: NDArray[Any]) -> float:
    """Return the PSNR of 8-bit code values in dB, infinite where nothing differs."""
    error = float(np.mean(np.square(picture.astype(np.float64) - original)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def best_crops(comparison: Comparison, size: tuple[int, int], count: int) -> list[Crop]:
    """Return the crops of one frame where the model gains most: the best of all frames, and others apart from it."""
    width, height = size
    sums = (_window_sums(comparison.gain(frame), width, height) for frame in range(len(comparison.original)))
    frame, gains = max(enumerate(sums), key=lambda entry: float(entry[1].max()))
    crops = []
    for _ in range(count):
        if np.isneginf(gains.max()):
            break
        y, x = (int(place) for place in np.unravel_index(int(gains.argmax()), gains.shape))
        crops.append(Crop(frame, x, y, width, height))
        # Half a crop stays free between two, so that the second shows something else.
        down, right = height * 3 // 2, width * 3 // 2
        gains[max(0, y - down) : y + down, max(0, x - right) : x + right] = -np.inf
    return crops


def _window_sums(values: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Return the sum of each window, by its top left pixel."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    window: NDArray[np.float64] = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    )
    return window
