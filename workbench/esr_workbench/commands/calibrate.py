"""`esr calibrate`: fit the estimates of a source's quality and of what made it small."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import list_models, load_nodes, resolve
from esr_upscale.replacement import write_text
from esr_workbench.commands.common import Overwrite, Weights, check_outputs, clear_errors, print_table
from esr_workbench.commands.progress import show_progress

MODEL = "esr_stack_x2"
LEAST_CLIPS = 64


class Estimate(StrEnum):
    """What is estimated."""

    QUALITY = "quality"
    DOWNSCALER = "downscaler"


@clear_errors()
def calibrate_source(
    tiles: Annotated[Path, typer.Option(help="Directory of 8-bit luma PNG tiles of 256x256.")],
    estimate: Annotated[
        Estimate, typer.Option(help="Property of a source to estimate: its damage by coding, or its downscaler.")
    ] = Estimate.QUALITY,
    out: Annotated[
        Path | None,
        typer.Option(help="Output file of the function. Default: source_quality.json, or source_downscaler.json."),
    ] = None,
    clips: Annotated[int, typer.Option(min=48, help="Number of clips to make.")] = 1600,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    model: Annotated[
        str, typer.Option(help="Model with sets for downscalers to choose between, for --estimate downscaler.")
    ] = MODEL,
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit the function that estimates a source's damage by coding, or its downscaler, from pictures."""
    from esr_workbench.datasets.tiles import load_tiles
    from esr_workbench.estimates.source_quality import SCALE
    from esr_workbench.model_files.cards import today, versions

    if estimate is Estimate.QUALITY and clips < LEAST_CLIPS:
        raise InvalidInputError(f"--clips is {LEAST_CLIPS} or more for --estimate quality, not {clips}")
    path = out or Path(f"source_{estimate}.json")
    check_outputs([path], overwrite=overwrite)
    pictures = [tile.picture_hr() for tile in load_tiles(tiles, SCALE, 3)]
    origin: dict[str, Any] = {"tiles": len(pictures), "clips": clips, "seed": seed, "date": today()}
    origin["versions"] = versions()
    if estimate is Estimate.QUALITY:
        _fit_quality(pictures, origin, path)
    else:
        _fit_downscaler(pictures, origin, path, model, tuple(weights or ()))


def _fit_quality(pictures: list[Any], origin: dict[str, Any], path: Path) -> None:
    from esr_workbench.estimates.source_quality import describe, fit, sample_key_frames

    with show_progress("coding clips") as show:
        samples = sample_key_frames(
            pictures, origin["clips"], origin["seed"], lambda count, total: show(count, total, "")
        )
    function, figures = fit(samples)
    write_text(path, json.dumps(describe(function, figures, origin), indent=1) + "\n")
    rows = [[name, f"{error:.2f}"] for name, error in sorted(figures["error_by_codec"].items())]
    print_table(["codec", "mean error of the quantiser"], [*rows, ["all", f"{figures['error']:.2f}"]])


def _fit_downscaler(
    pictures: list[Any], origin: dict[str, Any], path: Path, model: str, directories: tuple[Path, ...]
) -> None:
    from esr_upscale.backends.torch.kernel import torch_threads
    from esr_workbench.estimates.source_downscaler import SetJudge, describe, fit, sample_pictures
    from esr_workbench.estimates.source_quality import SCALE

    spec = resolve(model, list_models(*directories))
    nodes = load_nodes(spec, *directories)
    if nodes is None or not any(source.downscaler for source in nodes.sets) or spec.scale != SCALE:
        raise InvalidInputError(f"--model is a model of x{SCALE} with sets for downscalers, not {model}")
    with show_progress("looking at clips") as show, torch_threads(1):  # pictures and fits are small
        samples = sample_pictures(
            pictures,
            SetJudge(spec, nodes),
            origin["clips"],
            origin["seed"],
            lambda count, total: show(count, total, ""),
        )
        functions, figures = fit(samples)
    text = json.dumps(describe(functions, figures, origin | {"model": spec.canonical_id})) + "\n"
    write_text(path, text)
    rows = [
        [node, name, f"{row['gain_db']:+.2f}", f"{row['best_gain_db']:+.2f}"]
        for node, by_name in figures.items()
        for name, row in by_name.items()
    ]
    print_table(["node", "made small by", "gain, dB", "of the best sets"], rows)
