"""What commands share: options, tables, and errors without a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.errors import UpscaleError

SETS = ("Set5", "Set14", "BSD100")
"""The sets of pictures that cards have figures of."""

Weights = Annotated[list[Path] | None, typer.Option(help="Directory with more weights files; may be repeated.")]
Data = Annotated[list[Path] | None, typer.Option(help="Directory of pictures to judge on, a set; may be repeated.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads to compute on.")]


@contextmanager
def clear_errors() -> Iterator[None]:
    """What was foreseen ends in a message and exit code 2, not in a traceback."""
    try:
        yield
    except UpscaleError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    for row in (head, rule, *rows):
        typer.echo("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def print_scores(scores: dict[str, dict[str, float]]) -> None:
    """Print model → set → dB as a Markdown table with the mean over sets."""
    sets = list(next(iter(scores.values())))
    rows = [
        [name, *(f"{score[s]:.2f}" for s in sets), f"{sum(score.values()) / len(score):.2f}"]
        for name, score in scores.items()
    ]
    print_table(["model", *sets, "mean"], rows)
