"""The part of `esr eval` that judges models on video."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from esr_upscale.commands.common import print_table
from esr_upscale.commands.progress import show_progress
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import list_models, load_weights, resolve
from esr_upscale.replacement import write_text

if TYPE_CHECKING:
    from esr_upscale.training.video_protocol import Figures


def judge_on_clips(
    models: Sequence[str],
    clips: Sequence[Path],
    downscalers: Sequence[str],
    codecs: Sequence[str],
    frames: int,
    weights: tuple[Path, ...],
    threads: int,
    json_file: Path | None,
) -> None:
    """Print what models and peers have over Lanczos on clips, in dB, and write it to a file.

    Raises:
        InvalidInputError: a name is not known, the models are of several scales, or a clip cannot be read.
    """
    from esr_upscale.engine import EngineSettings, LoadedModel
    from esr_upscale.training.degradation.resampling import KERNELS
    from esr_upscale.training.video_protocol import judge_clips, parse_conditions, read_clip, resampler

    conditions = parse_conditions(downscalers, codecs)
    peers = [name for name in models if name in KERNELS]
    specs = {name: resolve(name, list_models(*weights)) for name in models if name not in KERNELS}
    scales = {spec.scale for spec in specs.values()} or {2}
    if len(scales) > 1:
        raise InvalidInputError("models are judged together at one scale; name those of x2, x3 or x4")
    (scale,) = scales
    names = [clip.stem for clip in clips]
    if len(set(names)) < len(names):
        raise InvalidInputError("two clips have the same name; figures are by name, so rename one")
    upscalers = {name: resampler(name, scale) for name in peers}
    settings = EngineSettings(threads=threads)
    upscalers |= {n: LoadedModel(spec, load_weights(spec, *weights), settings).luma(8) for n, spec in specs.items()}
    loaded = {name: read_clip(path, scale, frames) for name, path in zip(names, clips, strict=True)}
    with show_progress("judging clips") as show:
        figures = judge_clips({name: upscalers[name] for name in models}, loaded, conditions, scale, show)
    _print(figures, [condition.name for condition in conditions])
    if json_file:
        write_text(json_file, json.dumps({"lanczos4": figures.base, "over lanczos4": figures.gains}, indent=2) + "\n")


def _print(figures: Figures, conditions: Sequence[str]) -> None:
    absolute = [f"{sum(figures.base[c].values()) / len(figures.base[c]):.2f}" for c in conditions]
    rows = [["lanczos4, dB", *absolute]]
    for model in figures.gains:
        cells = (f"{figures.mean(model, c):+.2f} / {figures.lowest(model, c):+.2f}" for c in conditions)
        rows.append([model, *cells])
    print_table(["over lanczos4: mean / lowest", *conditions], rows)
