"""The part of `esr eval` that judges models on video."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer
from numpy.typing import NDArray

from esr_upscale.errors import EngineError, InvalidInputError
from esr_upscale.models import SCALES, ModelSpec, Source, list_models, load_nodes, load_weights, resolve
from esr_upscale.replacement import write_text
from esr_workbench.commands.common import print_table
from esr_workbench.commands.progress import show_progress
from esr_workbench.shaders import Shader, check_libplacebo, run_shader

if TYPE_CHECKING:
    from esr_workbench.evaluation.video_protocol import Figures, Upscaler

HEADS = {"psnr": ("PSNR in dB", 2), "ssim": ("SSIM", 4), "vmaf": ("VMAF", 2)}
"""Metric → what its table is called, and digits after the point."""
BY_SOURCE = "by source"
"""Behind the name of a model: with its weights for sources of known quality, chosen as a server does."""


def judge_on_clips(
    models: Sequence[str],
    shaders: Sequence[Path],
    clips: Sequence[Path],
    downscalers: Sequence[str],
    codecs: Sequence[str],
    frames: int,
    weights: tuple[Path, ...],
    threads: int,
    json_file: Path | None,
) -> None:
    """Print what models and peers have over Lanczos on clips, and write it to a file.

    Raises:
        InvalidInputError: a name is not known, the models are of several scales, a shader makes another size, or a clip
            cannot be read.
        EngineError: shaders cannot run here.
    """
    from esr_upscale.backends.torch.kernel import torch_threads
    from esr_workbench.evaluation.video_protocol import judge_clips, parse_conditions, read_clip

    conditions = parse_conditions(downscalers, codecs)
    upscalers, scale = _upscalers(models, [Shader.read(path) for path in shaders], weights, threads)
    names = [clip.stem for clip in clips]
    if len(set(names)) < len(names):
        raise InvalidInputError("two clips have the same name; figures are by name, so rename one")
    metrics = _metrics()
    frames_by_name = {name: read_clip(path, scale, frames) for name, path in zip(names, clips, strict=True)}
    with torch_threads(threads), show_progress("judging clips") as show:
        figures = judge_clips(upscalers, frames_by_name, conditions, scale, show, metrics)
    for metric in metrics:
        _print(figures, [condition.name for condition in conditions], metric)
    if json_file:
        write_text(json_file, json.dumps({"lanczos4": figures.base, "over lanczos4": figures.gains}, indent=2) + "\n")


def _upscalers(
    models: Sequence[str], shaders: Sequence[Shader], weights: tuple[Path, ...], threads: int
) -> tuple[dict[str, Upscaler], int]:
    from esr_upscale.engine import EngineSettings, LoadedModel
    from esr_workbench.degradation.resampling import KERNELS
    from esr_workbench.evaluation.video_protocol import by_source, frame_by_frame, resampler

    names = [*models, *(shader.name for shader in shaders)]
    if len(set(names)) < len(names):
        raise InvalidInputError("two models or shaders have the same name; figures are by name, so rename one")
    specs = {name: resolve(name, list_models(*weights)) for name in models if name not in KERNELS}
    scale = _common_scale(list(specs.values()), shaders)
    if shaders:
        check_libplacebo()
    settings = EngineSettings(threads=threads)
    upscalers: dict[str, Upscaler] = {}
    for name in models:
        if name in specs:
            spec, nodes = specs[name], load_nodes(specs[name], *weights)
            model = LoadedModel(spec, load_weights(spec, *weights), settings, nodes=nodes)
            upscalers[name] = frame_by_frame(model.luma(8))
            if model.has_nodes:
                upscalers[f"{name} {BY_SOURCE}"] = by_source(partial(model.luma, 8))
        else:
            upscalers[name] = resampler(name, scale)
    for shader in shaders:
        upscalers[shader.name] = partial(_run_shader, shader, scale)
    return upscalers, scale


def _run_shader(
    shader: Shader, scale: int, clip: NDArray[np.uint8], _sources: Sequence[Source | None]
) -> NDArray[np.uint8]:
    return run_shader(shader, clip, scale=scale)


def _common_scale(specs: Sequence[ModelSpec], shaders: Sequence[Shader]) -> int:
    scales = {spec.scale for spec in specs}
    if len(scales) > 1:
        raise InvalidInputError("models are judged together at one scale; name those of x2, x3 or x4")
    if scales:
        (scale,) = scales
    else:
        # Without models the first shader decides; resamplers alone are judged at x2.
        scale = next((s for s in SCALES for shader in shaders[:1] if shader.makes(s)), SCALES[0])
    for shader in shaders:
        shader.check_scale(*Shader.EXAMPLE, scale)
    return scale


def _metrics() -> list[str]:
    from esr_workbench.evaluation.vmaf import check_vmaf

    try:
        check_vmaf()
    except EngineError as error:
        typer.echo(f"note: VMAF is left out: {error}", err=True)
        return ["psnr", "ssim"]
    return ["psnr", "ssim", "vmaf"]


def _print(figures: Figures, conditions: Sequence[str], metric: str) -> None:
    label, digits = HEADS[metric]
    means = [[clip[metric] for clip in figures.base[c].values()] for c in conditions]
    rows = [["lanczos4", *(f"{sum(values) / len(values):.{digits}f}" for values in means)]]
    for model in figures.gains:
        cells = (
            f"{figures.mean(model, c, metric):+.{digits}f} / {figures.lowest(model, c, metric):+.{digits}f}"
            for c in conditions
        )
        rows.append([model, *cells])
    print_table([f"{label} over lanczos4: mean / lowest", *conditions], rows)
    typer.echo()
