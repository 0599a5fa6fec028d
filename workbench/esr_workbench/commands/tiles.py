"""`esr tiles`: training tiles from any pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.models.card import UNKNOWN_LICENCE, check_licence
from esr_workbench.commands.common import Overwrite, clear_errors
from esr_workbench.commands.progress import show_progress


class RangeChoice(StrEnum):
    """The range of a picture's samples, as an option."""

    FULL = "full"
    LIMITED = "limited"


@clear_errors()
def cut_tiles(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, and folders with their subfolders.")],
    out: Annotated[Path, typer.Argument(help="Directory for the tiles.")],
    size: Annotated[int, typer.Option(min=32, help="Side of a tile, in pixels.")] = 256,
    most: Annotated[
        int, typer.Option(min=1, help="Maximum number of tiles of a picture, the most detailed ones.")
    ] = 24,
    reduce: Annotated[
        int,
        typer.Option(min=1, help="Factor to downscale pictures by first; 2 or more removes noise and JPEG artefacts."),
    ] = 1,
    samples: Annotated[
        RangeChoice, typer.Option("--range", help="Range of the samples: 0 … 255, or 16 … 235 as in video.")
    ] = RangeChoice.FULL,
    licence: Annotated[str, typer.Option(help="SPDX id of the pictures' licence, for CREDITS.csv.")] = UNKNOWN_LICENCE,
    origin: Annotated[str, typer.Option(help="Origin of the pictures, for CREDITS.csv.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Make luma tiles for `esr train` from pictures, colour or gray: PNG, JPEG, WebP, TIFF and others.

    Pictures that cannot be read are named at the end; the exit code is then 1.
    """
    from esr_workbench.datasets.tile_maker import TileSettings, check_folder, find_pictures, make_tiles
    from esr_workbench.evaluation.pictures import Range

    check_licence(licence)
    check_folder(out, overwrite=overwrite)
    sources = find_pictures(pictures, out)
    settings = TileSettings(size=size, most=most, reduce=reduce, samples=Range(samples), licence=licence, origin=origin)
    with show_progress("cutting pictures") as show:
        outcome = make_tiles(sources, out, settings, show)
    for line in (*outcome.skipped, *outcome.failed):
        typer.echo(f"no tiles: {line}", err=True)
    if outcome.pictures == 1:
        typer.echo("note: all tiles are of one picture; `esr train` needs two, to hold one out", err=True)
    if outcome.looks_limited and settings.samples is Range.FULL:
        typer.echo("note: no sample lies outside 16 … 235. Pictures of limited range need --range limited", err=True)
    plural = "" if outcome.pictures == 1 else "s"
    typer.echo(f"{out}: {outcome.tiles} tiles of {outcome.pictures} picture{plural}")
    if outcome.failed:
        raise typer.Exit(1)
