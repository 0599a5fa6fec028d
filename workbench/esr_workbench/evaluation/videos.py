"""How near one video comes to another: PSNR and SSIM of luma, frame by frame in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from esr_upscale.components import unpack
from esr_upscale.errors import InvalidInputError
from esr_workbench.evaluation.protocol import decibels
from esr_workbench.evaluation.ssim import ssim
from esr_workbench.media.files import read_frames


@dataclass(frozen=True, slots=True)
class VideoQuality:
    """The quality of a video against its reference. PSNR is in dB, infinite for equal luma."""

    frames: int
    """How many were compared: all."""
    psnr: float
    """Mean of the frames' PSNR."""
    psnr_of_mean_mse: float
    """PSNR of the mean squared error of all frames, on which a few bad ones tell more."""
    worst_frame: int
    """Number of the frame with the least PSNR, from 0; the first of several."""
    worst_psnr: float
    """PSNR of that frame."""
    ssim: float
    """Mean of the frames' SSIM."""


@dataclass(frozen=True, slots=True)
class _Score:
    mse: float  # of values scaled to 0 … 1, so that the depth need not be known any more
    ssim: float


def compare_videos(reference: Path, distorted: Path, report: Callable[[int], None] = lambda _: None) -> VideoQuality:
    """Compare luma of every frame, code values of 2ⁿ − 1 at most (a depth of 10 bits has a peak of 1023).

    Times are not compared: the first frame is held against the first, and so on. RGB is compared by its BT.601 luma.
    `report` is told after each frame how many are done.
    Raises InvalidInputError when frames differ in size or depth, when one video is longer, and when both are empty;
    and what `read_frames` raises.
    """
    scores = []
    for score in _scores(reference, distorted):
        scores.append(score)
        report(len(scores))
    return summary(scores)


def summary(scores: Iterable[_Score]) -> VideoQuality:
    """Return the quality of a video from its frames' scores, at least one."""
    mses, ssims = zip(*((score.mse, score.ssim) for score in scores), strict=True)
    psnrs = [decibels(mse, 1) for mse in mses]
    worst = int(np.argmax(mses))
    mean_mse = float(np.mean(mses))
    return VideoQuality(
        len(mses), sum(psnrs) / len(psnrs), decibels(mean_mse, 1), worst, psnrs[worst], float(np.mean(ssims))
    )


def _scores(reference: Path, distorted: Path) -> Iterator[_Score]:
    pairs = zip_longest(read_frames(reference), read_frames(distorted))
    number = -1
    for number, (true_frame, frame) in enumerate(pairs):
        if true_frame is None or frame is None:
            longer = number + 1 + sum(1 for _ in pairs)
            counts = (number, longer) if true_frame is None else (longer, number)
            raise InvalidInputError(f"{reference} has {counts[0]} frames and {distorted} has {counts[1]}")
        truth, components = unpack(true_frame), unpack(frame)
        if (truth.luma.shape, truth.depth) != (components.luma.shape, components.depth):
            sizes = ", ".join(
                f"{path.name} is {each.width}x{each.height} {each.format.name}"
                for path, each in ((reference, true_frame), (distorted, frame))
            )
            raise InvalidInputError(f"frame {number}: {sizes}; only luma of one size and depth can be compared")
        peak = float((1 << truth.depth) - 1)
        difference = (components.luma.astype(np.float64) - truth.luma) / peak
        yield _Score(float(np.mean(difference**2)), ssim(components.luma, truth.luma, peak))
    if number < 0:
        raise InvalidInputError(f"{reference} and {distorted} have no frames")
