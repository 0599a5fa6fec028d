"""What commands share: options, tables, and errors without a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.errors import InvalidInputError, UpscaleError
from esr_upscale.models import ModelSpec
from esr_upscale.models.weights_file import SUFFIX
from esr_upscale.replacement import is_special

SETS = ("Set5", "Set14", "BSD100")
"""The sets of pictures that cards have figures of."""

Weights = Annotated[list[Path] | None, typer.Option(help="Directory with more weights files; may be repeated.")]
Data = Annotated[list[Path] | None, typer.Option(help="Directory of a set of test pictures; may be repeated.")]
Threads = Annotated[int, typer.Option(min=1, help="Number of threads.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn expected errors into a message and exit code 2 instead of a traceback."""
    try:
        yield
    except UpscaleError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def check_outputs(paths: Sequence[Path | None], *, overwrite: bool) -> None:
    """Check the files that a command is to write, before it computes anything. None stands for one not asked for.

    Raises:
        InvalidInputError: a file exists and `overwrite` is off, or it cannot be written where it is to lie.
    """
    files = [path for path in paths if path is not None and not is_special(path)]
    for path in files:
        if path.is_dir():
            raise InvalidInputError(f"{path} is a directory; a file is to be written there")
        folder = next(parent for parent in path.parents if parent.exists())
        if not folder.is_dir():
            raise InvalidInputError(f"{path} cannot be written: {folder} is a file, not a directory")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InvalidInputError(f"{path} cannot be written: you may not write into {folder}")
    existing = [path for path in files if os.path.lexists(path)]
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise InvalidInputError(f"{existing[0]} exists{more}; --overwrite replaces what exists")


def weights_files(spec: ModelSpec, directory: Path) -> list[Path]:
    """Return the two files of a model in a directory: weights and card."""
    return [directory / f"{spec.canonical_id}{suffix}" for suffix in (SUFFIX, ".json")]


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
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
