"""Judging models on video: clean clips are made smaller, coded, decoded, upscaled, and compared with what they were.

A clip is a video file, or a directory of pictures that a window pans over by parts of a pixel; luma of 8 bits. Each
condition is a downscaler and an encoder with its quality. PSNR and SSIM are means over frames, with s pixels shaved at
every border, after rounding to 8 bits; VMAF is of whole frames. A model's figure is the difference from Lanczos with 4
lobes in the same condition. Clips must be clean: where the large video is itself coded, PSNR rewards blur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.components import unpack
from esr_upscale.errors import InvalidInputError
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.models import Source
from esr_upscale.models.nodes import CLEAN
from esr_upscale.source import SourceTracker
from esr_upscale.source_quality import estimate
from esr_workbench.degradation.degrade import Coding, Degradation
from esr_workbench.degradation.motion import Motion, moving
from esr_workbench.degradation.resampling import KERNELS, enlarge
from esr_workbench.evaluation.pictures import list_pictures, read_luma
from esr_workbench.evaluation.protocol import psnr
from esr_workbench.evaluation.ssim import ssim
from esr_workbench.evaluation.vmaf import vmaf
from esr_workbench.media.files import read_frames
from esr_workbench.media.recoding import RECODERS, recode_measured

Clip = NDArray[np.uint8]
"""Luma (frames, H, W)."""
Upscaler = Callable[[Clip, Sequence[Source | None]], Clip]
"""A clip (frames, H, W) to (frames, s·H, s·W), given what is known of the source of each."""
BASE = "lanczos4"
PICTURE_FRAMES = 8
"""Frames of a pan over one picture."""
_VELOCITY_PX = (0.45, 0.7)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a clip goes through before a model sees it."""

    kernel: str
    """Of the downscaler."""
    coding: Coding | None = None

    @property
    def name(self) -> str:
        """Return the name, as in `area x264:28`, or `area` without a codec."""
        return self.kernel if self.coding is None else f"{self.kernel} {self.coding.codec}:{self.coding.quality}"


def _mean_psnr(clip: Clip, truth: Clip, shave: int) -> float:
    return float(np.mean([psnr(frame, right, shave) for frame, right in zip(clip, truth, strict=True)]))


def _mean_ssim(clip: Clip, truth: Clip, shave: int) -> float:
    inner = np.s_[:, shave:-shave, shave:-shave]
    return float(np.mean([ssim(frame, right) for frame, right in zip(clip[inner], truth[inner], strict=True)]))


METRICS: dict[str, Callable[[Clip, Clip, int], float]] = {
    "psnr": _mean_psnr,
    "ssim": _mean_ssim,
    "vmaf": lambda clip, truth, _: vmaf(clip, truth),
}
"""Name → the figure of a clip against the true one, both large, and how many pixels to shave."""
ByClip = dict[str, dict[str, float]]
"""Clip → metric → figure."""


@dataclass(slots=True)
class Figures:
    """What was measured."""

    base: dict[str, ByClip] = field(default_factory=dict)
    """Condition → clip → metric → figure of Lanczos."""
    gains: dict[str, dict[str, ByClip]] = field(default_factory=dict)
    """Model → condition → clip → metric → what it has over Lanczos."""

    def mean(self, model: str, condition: str, metric: str = "psnr") -> float:
        """Return the mean gain over clips."""
        return float(np.mean([figures[metric] for figures in self.gains[model][condition].values()]))

    def lowest(self, model: str, condition: str, metric: str = "psnr") -> float:
        """Return the gain on the clip where it is least."""
        return min(figures[metric] for figures in self.gains[model][condition].values())


def parse_conditions(kernels: Sequence[str], codecs: Sequence[str]) -> list[Condition]:
    """Return each downscaler without a codec, then with each codec and quality; a codec is `x264:18,28`.

    Raises:
        InvalidInputError: a downscaler or codec is not known, or a quality is no number in its range.
    """
    for kernel in kernels:
        if kernel not in KERNELS:
            raise InvalidInputError(f"unknown downscaler {kernel!r}; choose one of {', '.join(KERNELS)}")
    codings = [coding for codec in codecs for coding in _codings(codec)]
    return [Condition(kernel, coding) for kernel in kernels for coding in (None, *codings)]


def _codings(text: str) -> list[Coding]:
    codec, _, qualities = text.partition(":")
    if codec not in RECODERS:
        raise InvalidInputError(f"unknown codec {codec!r}; choose one of {', '.join(RECODERS)}, as in x264:18,28")
    row = RECODERS[codec]
    codings = []
    for quality in qualities.split(","):
        if not quality.isdecimal() or not row.best <= int(quality) <= row.worst:
            raise InvalidInputError(
                f"{text!r}: a quality of {codec} is a whole number from {row.best} to {row.worst}, as in "
                f"{codec}:{row.best},{row.worst}"
            )
        codings.append(Coding(codec, int(quality)))
    return codings


def read_clip(path: Path, scale: int, frames: int, start: int = 0) -> Clip:
    """Return a clip's luma: `frames` frames of a video from `start` on, or a pan over each picture of a directory.

    Sizes are cut to multiples of 2·`scale`, so that the small clip can be coded.

    Raises:
        InvalidInputError: it cannot be read, or has fewer frames than `start`.
    """
    if path.is_dir():
        return _pans(path, scale)
    lumas = []
    for frame in islice(read_frames(path), start, start + frames):
        components = unpack(frame)
        lumas.append(np.clip(np.rint(components.luma / (1 << (components.depth - 8))), 0, 255).astype(np.uint8))
    if not lumas:
        raise InvalidInputError(f"{path} has no frame {start}")
    height, width = (side - side % (2 * scale) for side in lumas[0].shape)
    return np.stack(lumas)[:, :height, :width]


def _pans(directory: Path, scale: int) -> Clip:
    pictures = [read_luma(path) for path in list_pictures(directory)]
    least = min(min(picture.shape) for picture in pictures)
    slack = int(np.ceil(max(_VELOCITY_PX) * PICTURE_FRAMES))
    size = (least - slack) // (2 * scale) * 2 * scale
    if size < 16 * scale:
        raise InvalidInputError(f"pictures of {directory} have {least} pixels on a side; too few to pan over")
    clips = []
    for picture in pictures:
        middle = [(side - size - slack) // 2 for side in picture.shape]
        motion = Motion(_VELOCITY_PX, 0.0, (float(middle[0]), float(middle[1])))
        clips.append(moving(picture, motion, size, PICTURE_FRAMES))
    return np.concatenate(clips)


def judge_clips(
    upscalers: Mapping[str, Upscaler],
    clips: Mapping[str, Clip],
    conditions: Sequence[Condition],
    scale: int,
    report: Callable[[int, int], None],
    metrics: Sequence[str] = ("psnr", "ssim"),
) -> Figures:
    """Measure each model in each condition on each clip; `clips` are large, of sizes that 2·`scale` divides.

    `report` is called after each clip in each condition with the number done and the number in all.
    """
    results = Figures(gains={name: {} for name in upscalers})
    number, count = 0, len(clips) * len(conditions)
    for condition in conditions:
        for name, clip in clips.items():
            small, sources = _source(clip, condition, scale)
            base = _measure(resampler(BASE, scale)(small, sources), clip, scale, metrics)
            results.base.setdefault(condition.name, {})[name] = base
            for model, upscale in upscalers.items():
                figures = _measure(upscale(small, sources), clip, scale, metrics)
                gains = {metric: round(figures[metric] - base[metric], 5) for metric in metrics}
                results.gains[model].setdefault(condition.name, {})[name] = gains
            number += 1
            report(number, count)
    return results


def _source(clip: Clip, condition: Condition, scale: int) -> tuple[Clip, list[Source | None]]:
    """Return what a server has of a clip: small frames, and what it knows of the source of each."""
    small, quantizer = Degradation(kernel=condition.kernel).apply(clip, scale, np.random.default_rng(0)), CLEAN
    if (coding := condition.coding) is not None:
        small, bits = recode_measured(small, coding.codec, coding.quality, coding.preset)
        estimated = estimate(small[0], 8, RECODERS[coding.codec].codec, bits)
        if estimated is None:
            return small, [None] * len(small)
        quantizer = estimated
    tracker, gray = SourceTracker(known_quantizer=quantizer), pixel_format("gray")
    height, width = small.shape[1:]
    return small, [tracker.source_of(Frame(gray, width, height, (luma,))) for luma in small]


def _measure(clip: Clip, truth: Clip, scale: int, metrics: Sequence[str]) -> dict[str, float]:
    return {metric: METRICS[metric](clip, truth, scale) for metric in metrics}


def frame_by_frame(upscale: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> Upscaler:
    """Return the upscaler of clips that applies `upscale` to each frame (H, W)."""
    return lambda clip, _: np.stack([upscale(frame) for frame in clip])


def by_source(choose: Callable[[Source | None], Callable[[NDArray[np.uint8]], NDArray[Any]]]) -> Upscaler:
    """Return the upscaler of clips that applies what `choose` has for its source to each frame."""
    return lambda clip, sources: np.stack([choose(source)(frame) for frame, source in zip(clip, sources, strict=True)])


def resampler(kernel: str, scale: int) -> Upscaler:
    """Return a peer that needs no training: one of KERNELS."""
    return frame_by_frame(lambda frame: np.clip(np.rint(enlarge(frame, scale, kernel)), 0, 255).astype(np.uint8))
