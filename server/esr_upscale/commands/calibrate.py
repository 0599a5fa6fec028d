"""`esr calibrate`: fit the estimate of a source's quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.commands.common import Overwrite, check_outputs, clear_errors, print_table
from esr_upscale.commands.progress import show_progress
from esr_upscale.replacement import write_text

OUT = Path("source_quality.json")


@clear_errors()
def calibrate_quality(
    tiles: Annotated[Path, typer.Option(help="Directory of 8-bit luma PNG tiles of 256x256.")],
    out: Annotated[Path, typer.Option(help="File for the function.")] = OUT,
    clips: Annotated[int, typer.Option(min=64, help="Number of clips to code.")] = 1600,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Fit the function that tells how much coding has damaged a source, from the key frames of coded clips."""
    from esr_upscale.training.cards import today, versions
    from esr_upscale.training.degradation.calibration import SCALE, describe, fit, sample_key_frames
    from esr_upscale.training.tiles import load_tiles

    check_outputs([out], overwrite=overwrite)
    pictures = [tile.picture_hr() for tile in load_tiles(tiles, SCALE, 3)]
    with show_progress("coding clips") as show:
        samples = sample_key_frames(pictures, clips, seed, lambda done, of: show(done, of, ""))
    function, figures = fit(samples)
    made = {"tiles": len(pictures), "clips": clips, "seed": seed, "date": today(), "versions": versions()}
    write_text(out, json.dumps(describe(function, figures, made), indent=1) + "\n")
    rows = [[name, f"{error:.2f}"] for name, error in sorted(figures["error_by_codec"].items())]
    print_table(["codec", "mean error of the quantiser"], [*rows, ["all", f"{figures['error']:.2f}"]])
