"""Fitting the estimate of a source's quality: key frames of clips whose damage is known, through every codec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.source_quality import Calibration, measures_of
from esr_workbench.degradation.damage import SEAM_PX, damage_maps, quantizer_of
from esr_workbench.degradation.degrade import Degradation, draw_degradation
from esr_workbench.degradation.motion import draw_motion, moving
from esr_workbench.media.recoding import RECODERS, recode_measured

SCALE, WINDOW_PX, WINDOWS, FRAMES = 2, 224, 2, 8
"""Clips show WINDOWS × WINDOWS tiles, through windows of so many HR pixels."""
MEASURED = (2, 4, 7)
"""Frames whose damage counts. Key frames are better than the others, and few in a stream."""
WIDER = 0.19
"""How far beyond the range of video in use qualities are drawn, as a share of it: up to what encoders take."""
HELD = 4
"""One clip of so many is for judging the fit."""
RIDGE = 0.3
"""Damping of the fit; the codecs' offsets are free."""
EDGES = 0.01
"""The share of clips whose measures lie beyond either end of what the function is clipped to."""


@dataclass(frozen=True, slots=True)
class KeyFrameSample:
    """A key frame whose damage is known."""

    codec: str
    """FFmpeg's name."""
    measures: NDArray[np.float64]
    quantizer: float
    """Of the damage, the mean over some frames of the clip."""


def sample_key_frames(
    tiles: Sequence[NDArray[np.uint8]], count: int, seed: int, report: Callable[[int, int], None]
) -> list[KeyFrameSample]:
    """Code `count` clips of moving tiles, each by the next of all codecs, and measure their key frames.

    Tiles are luma with more than WINDOW_PX pixels on a side. `report` is called with the clips done and in all.
    """
    samples, names = [], sorted(RECODERS)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        samples.append(_sample(tiles, names[number % len(names)], rng))
        report(number + 1, count)
    return samples


def _sample(tiles: Sequence[NDArray[np.uint8]], codec: str, rng: np.random.Generator) -> KeyFrameSample:
    clip, recoder = draw_clip(tiles, rng), RECODERS[codec]
    degradation: Degradation = replace(draw_degradation(rng), coding=None)
    wider = WIDER * (recoder.worst - recoder.best)
    quality = int(rng.integers(max(1, round(recoder.best - wider)), round(recoder.worst + wider) + 1))
    preset = int(rng.integers(len(recoder.presets)))
    coded, bits = recode_measured(degradation.apply(clip, SCALE, rng), codec, quality, preset)
    return KeyFrameSample(recoder.codec, measures_of(coded[0], 8, bits), damage_of_clip(clip, coded, degradation, rng))


def draw_clip(tiles: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a clip of FRAMES frames that shows moving tiles, drawn of `tiles`, side by side."""
    clip = np.empty((FRAMES, WINDOWS * WINDOW_PX, WINDOWS * WINDOW_PX), np.uint8)
    for window in range(WINDOWS**2):
        row, column = divmod(window, WINDOWS)
        tile = tiles[int(rng.integers(len(tiles)))]
        rows, columns = (slice(part * WINDOW_PX, (part + 1) * WINDOW_PX) for part in (row, column))
        clip[:, rows, columns] = moving(tile, draw_motion(tile.shape, WINDOW_PX, FRAMES, rng), WINDOW_PX, FRAMES)
    return clip


def damage_of_clip(
    clip: NDArray[np.uint8], coded: NDArray[np.uint8], degradation: Degradation, rng: np.random.Generator
) -> float:
    """Return the quantiser of the damage that a degradation did to a clip of `draw_clip`, the mean of some frames."""
    # Each picture counts as a whole, but for the seams between its windows, which no video has.
    side = WINDOW_PX // SCALE
    inner = np.arange(WINDOWS * side) % side
    inside = np.flatnonzero((inner >= SEAM_PX) & (inner < side - SEAM_PX))
    quantizers = []
    for frame in MEASURED:
        maps = damage_maps(clip[frame], coded[frame], degradation, SCALE, rng)
        quantizers.append(quantizer_of(*(float(part[np.ix_(inside, inside)].mean()) for part in maps)))
    return float(np.mean(quantizers))


def fit(samples: Sequence[KeyFrameSample]) -> tuple[Calibration, dict[str, Any]]:
    """Return the function that fits key frames best, and how far it is off on those that were held out.

    The figures are mean absolute errors of the quantiser: of all clips and by codec, and what the mean of a codec's
    quantisers, instead of the function, would be off.
    """
    names = sorted({sample.codec for sample in samples})
    measures = np.array([sample.measures for sample in samples])
    quantizers = np.array([sample.quantizer for sample in samples])
    low, high = np.quantile(measures, [EDGES, 1 - EDGES], axis=0)
    least, most = np.quantile(quantizers, [EDGES, 1 - EDGES])
    shape = Calibration({}, tuple(low), tuple(high), (), (), float(least), float(most))
    offsets = np.array([[float(sample.codec == name) for name in names] for sample in samples])
    terms = np.concatenate([offsets, shape.terms(measures)], 1)
    is_held_out = np.arange(len(samples)) // len(RECODERS) % HELD == 0
    damping = np.diag([0.0] * len(names) + [RIDGE] * (terms.shape[1] - len(names)))
    weights = np.linalg.solve(
        terms[~is_held_out].T @ terms[~is_held_out] + damping, terms[~is_held_out].T @ quantizers[~is_held_out]
    )
    linear, count = weights[len(names) :], measures.shape[1]
    function = replace(
        shape,
        codecs=dict(zip(names, map(float, weights), strict=False)),
        linear=tuple(map(float, linear[:count])),
        quadratic=tuple(map(float, linear[count:])),
    )
    return function, _errors(function, [sample for sample, out in zip(samples, is_held_out, strict=True) if out])


def _errors(function: Calibration, test_samples: Sequence[KeyFrameSample]) -> dict[str, Any]:
    errors: dict[str, list[float]] = {}
    quantizers: dict[str, list[float]] = {}
    for sample in test_samples:
        estimated = function.quantizer(sample.codec, sample.measures)
        assert estimated is not None
        errors.setdefault(sample.codec, []).append(abs(estimated - sample.quantizer))
        quantizers.setdefault(sample.codec, []).append(sample.quantizer)
    spread = [abs(q - np.mean(values)) for values in quantizers.values() for q in values]
    everything = [error for values in errors.values() for error in values]
    return {
        "clips": len(everything),
        "error": round(float(np.mean(everything)), 2),
        "error_by_codec": {name: round(float(np.mean(values)), 2) for name, values in errors.items()},
        "error_of_codec_means": round(float(np.mean(spread)), 2),
    }


def describe(function: Calibration, figures: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
    """Return what is written to a file: the function, how good it is, and how it was made."""
    return {"made": origin, "held_out": figures, "function": asdict(function)}
