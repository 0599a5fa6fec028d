"""One degradation: how small video may have been made from large video. Drawn at random, applied as it says.

Order: the large video may have been through a codec before; it is blurred a little, made smaller by one of the
downscalers in use, gets noise, and goes through the codec that a server will decode. The aim stays the large video as
it was before all of this.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from esr_workbench.degradation.resampling import blur_matrix, reduction_matrix, resample
from esr_workbench.media.recoding import RECODERS, recode


@dataclass(frozen=True, slots=True)
class Coding:
    """A codec as `recode` takes it."""

    codec: str
    quality: int
    preset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """What a clip goes through."""

    kernel: str
    """Of the downscaler, a name in KERNELS."""
    sharpness: float = 1.0
    """Above 1 the downscaler lets some aliasing through."""
    blur_px: float = 0.0
    """Standard deviation, in pixels of the large picture."""
    noise: float = 0.0
    """Standard deviation, in code values of the small picture."""
    before: Coding | None = None
    """What the large video was coded with once."""
    coding: Coding | None = None
    """What the small video is coded with; None: clean."""

    def apply(self, clip: NDArray[np.uint8], scale: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the small clip (frames, H/s, W/s) of a large one (frames, H, W)."""
        source = clip if self.before is None else recode(clip, *astuple(self.before))
        matrices = []
        for length in source.shape[1:]:
            matrix = reduction_matrix(length, scale, self.kernel, self.sharpness)
            matrices.append(matrix @ blur_matrix(length, self.blur_px) if self.blur_px else matrix)
        small = resample(source, matrices[0], matrices[1])
        if self.noise:
            small = small + rng.normal(0, self.noise, small.shape).astype(np.float32)
        pixels = np.clip(np.rint(small), 0, 255).astype(np.uint8)
        return pixels if self.coding is None else recode(pixels, *astuple(self.coding))


_KERNELS = {"bicubic": 0.28, "area": 0.27, "lanczos3": 0.2, "spline36": 0.07, "bilinear": 0.1, "bicubic_sharp": 0.08}
CODECS = {"x264": 0.58, "x265": 0.12, "vp9": 0.12, "av1": 0.1, "mpeg2": 0.05, "mjpeg": 0.03}
"""Shares, about as in use."""
_CLEAN, _ALIASED, _BLURRED, _NOISY, _CODED_BEFORE, _USUAL = 0.2, 0.12, 0.15, 0.2, 0.15, 0.6
"""Shares of clips; _USUAL is that of an encoder's usual preset."""


def draw_degradation(rng: np.random.Generator) -> Degradation:
    """Draw a degradation from the mixture that the default weights are trained on."""
    is_clean = rng.random() < _CLEAN
    return Degradation(
        kernel=_draw(_KERNELS, rng),
        sharpness=float(rng.uniform(1.0, 1.3)) if rng.random() < _ALIASED else 1.0,
        blur_px=float(rng.uniform(0.4, 0.9)) if rng.random() < _BLURRED else 0.0,
        noise=float(rng.uniform(0.5, 2.5)) if not is_clean and rng.random() < _NOISY else 0.0,
        before=_draw_coding(rng, most=0.55) if not is_clean and rng.random() < _CODED_BEFORE else None,
        coding=None if is_clean else _draw_coding(rng),
    )


def _draw(shares: dict[str, float], rng: np.random.Generator) -> str:
    chances = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(shares), p=chances / chances.sum()))]


def _draw_coding(rng: np.random.Generator, most: float = 1.0) -> Coding:
    codec = _draw(CODECS, rng)
    row = RECODERS[codec]
    # What is coded once more was coded well: up to `most` of the range.
    quality = int(rng.integers(row.best, row.best + round(most * (row.worst - row.best)) + 1))
    usual = rng.random() < _USUAL or len(row.presets) == 1
    return Coding(codec, quality, 0 if usual else int(rng.integers(1, len(row.presets))))
