"""How good a model is: PSNR and SSIM of luma over sets of pictures, by the protocol of `protocol.py`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.torch.kernel import torch_threads
from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, load_weights
from esr_upscale.plane_kernel import PlaneKernel
from esr_workbench.evaluation.pictures import list_pictures, read_luma
from esr_workbench.evaluation.protocol import crop, degrade, psnr
from esr_workbench.evaluation.ssim import WINDOW, ssim


@dataclass(frozen=True, slots=True)
class Quality:
    """How near pictures come to the truth."""

    psnr: float
    """dB, peak 255."""
    ssim: float
    """1 is equal."""

    @staticmethod
    def mean(qualities: Iterable[Quality]) -> Quality:
        psnrs, ssims = zip(*((quality.psnr, quality.ssim) for quality in qualities), strict=True)
        return Quality(sum(psnrs) / len(psnrs), sum(ssims) / len(ssims))


def picture_quality(kernel: PlaneKernel, luma: NDArray[np.float64], scale: int) -> Quality:
    """Return the quality of an 8-bit `kernel` on a picture's luma (H, W). Raises InvalidInputError for a tiny one."""
    truth = crop(luma, scale)
    if min(truth.shape) < 2 * scale + WINDOW:
        raise InvalidInputError(f"a picture of {luma.shape[1]}×{luma.shape[0]} is too small to judge ×{scale} on")
    upscaled = kernel(degrade(truth, scale))
    inner = slice(scale, -scale)
    return Quality(psnr(upscaled, truth, scale), ssim(upscaled[inner, inner], truth[inner, inner]))


def ignore(*_: object) -> None:
    """Take a report and do nothing."""


def set_quality(kernel: PlaneKernel, scale: int, directory: Path, report: Callable[[], None] = ignore) -> Quality:
    """Return the mean of `kernel`, an 8-bit one, over the pictures in `directory`; `report` is called after each."""
    qualities = []
    for path in list_pictures(directory):
        qualities.append(picture_quality(kernel, read_luma(path), scale))
        report()
    return Quality.mean(qualities)


def judge(
    specs: Sequence[ModelSpec],
    sets: Sequence[Path],
    threads: int,
    *directories: Path,
    report: Callable[[int, int], None] = ignore,
) -> dict[ModelSpec, dict[str, Quality]]:
    """Measure models on each directory of pictures, by the directory's name, on the backend that serves them.

    Weights are looked for in `directories` and then in the package. Figures are rounded, to 0.001 dB and
    0.0001, as they are written. `report` is called after each picture with the number done and the number in all.

    Raises:
        InvalidInputError: two directories have one name, or one has no pictures.
    """
    names = [data.resolve().name for data in sets]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"two sets of pictures are named {name}; figures are by name, so rename one folder")
    count = sum(len(list_pictures(data)) for data in sets) * len(specs)
    pictures = itertools.count(1)
    qualities: dict[ModelSpec, dict[str, Quality]] = {}
    for spec in specs:
        kernel = LoadedModel(spec, load_weights(spec, *directories), EngineSettings(threads=threads)).luma(8)
        qualities[spec] = {}
        for name, data in zip(names, sets, strict=True):
            with torch_threads(threads):
                quality = set_quality(kernel, spec.scale, data, lambda: report(next(pictures), count))
            qualities[spec][name] = Quality(round(quality.psnr, 3), round(quality.ssim, 4))
    return qualities
