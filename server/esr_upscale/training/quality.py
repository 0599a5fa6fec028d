"""How good a model is: PSNR and SSIM of luma over sets of pictures, by the protocol of `protocol.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.errors import InvalidInputError
from esr_upscale.kernels import PlaneKernel
from esr_upscale.models import ModelSpec, load_weights
from esr_upscale.nets.engine import torch_threads
from esr_upscale.training.protocol import crop, degrade, list_pictures, psnr, read_luma
from esr_upscale.training.ssim import WINDOW, ssim


@dataclass(frozen=True, slots=True)
class Quality:
    """How near pictures come to the truth."""

    psnr: float
    """dB, peak 255."""
    ssim: float
    """1 is equal."""

    @staticmethod
    def mean(of: Iterable[Quality]) -> Quality:
        """The mean of each figure."""
        psnrs, ssims = zip(*((quality.psnr, quality.ssim) for quality in of), strict=True)
        return Quality(sum(psnrs) / len(psnrs), sum(ssims) / len(ssims))


def picture_quality(kernel: PlaneKernel, luma: NDArray[np.float64], scale: int) -> Quality:
    """What `kernel`, an 8-bit one, reaches on one picture's luma (H, W). Raises InvalidInputError for a tiny one."""
    truth = crop(luma, scale)
    if min(truth.shape) < 2 * scale + WINDOW:
        raise InvalidInputError(f"a picture of {luma.shape[1]}×{luma.shape[0]} is too small to judge ×{scale} on")
    made = kernel(degrade(truth, scale))
    inner = slice(scale, -scale)
    return Quality(psnr(made, truth, scale), ssim(made[inner, inner], truth[inner, inner]))


def set_quality(kernel: PlaneKernel, scale: int, directory: Path) -> Quality:
    """The mean of `kernel`, an 8-bit one, over the pictures in `directory`."""
    return Quality.mean(picture_quality(kernel, read_luma(path), scale) for path in list_pictures(directory))


def judge(spec: ModelSpec, sets: tuple[Path, ...], threads: int, *directories: Path) -> dict[str, Quality]:
    """The quality of `spec` on each directory of pictures, by the directory's name, on the engine that serves it.

    Weights are looked for in `directories` and then among the packaged ones. Figures are rounded, to 0.001 dB and
    0.0001, as they are written.
    """
    kernel = LoadedModel(spec, load_weights(spec, *directories), EngineSettings(threads=threads)).luma(8)
    with torch_threads(threads):
        found = {data.name: set_quality(kernel, spec.scale, data) for data in sets}
    return {name: Quality(round(quality.psnr, 3), round(quality.ssim, 4)) for name, quality in found.items()}
