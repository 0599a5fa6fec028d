"""Published figures of other checkpoints, read from a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from esr_upscale.errors import InvalidInputError, UnknownModelError
from esr_upscale.models import ModelSpec, resolve

NAME = "model"
PSNR, SSIM = "psnr_", "ssim_"


@dataclass(frozen=True, slots=True)
class Published:
    """The figures of a CSV file. Sets of pictures are in lower case: files do not agree on how to write them."""

    sets: tuple[str, ...]
    """The sets that it has PSNR of."""
    psnr: Mapping[ModelSpec, Mapping[str, float]]
    """Model → set → dB."""
    ssim: Mapping[ModelSpec, Mapping[str, float]]
    """Model → set → SSIM, as far as there is any."""

    def figures(self, spec: ModelSpec) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Return set → dB and set → SSIM of a model, or of its network if no row has its weights for clean sources."""
        row_spec = spec if spec in self.psnr else replace(spec, clean=False)
        return self.psnr.get(row_spec, {}), self.ssim.get(row_spec, {})

    def means(self, spec: ModelSpec, ours: Mapping[str, float]) -> tuple[float, float] | None:
        """Return our mean and theirs in dB over the sets that both have, whatever their case. None if there is none."""
        theirs = self.figures(spec)[0]
        both = [(value, theirs[name.lower()]) for name, value in ours.items() if name.lower() in theirs]
        if not both:
            return None
        our, their = zip(*both, strict=True)
        return sum(our) / len(both), sum(their) / len(both)


def read_published(path: Path) -> Published:
    """Read a CSV with a column `model` and columns `psnr_<set>`, and `ssim_<set>` if there are any.

    A model has any of its names; what follows a blank is a remark. Rows of models that we do not know are passed over,
    so are other columns (a mean of other sets than ours would mislead), and empty cells. Where one model has several
    rows the first counts. Raises InvalidInputError when it is not such a file.
    """
    columns, *rows = _read_rows(path)
    sets = tuple(column.removeprefix(PSNR).lower() for column in columns if column.startswith(PSNR))
    if NAME not in columns or not sets:
        raise InvalidInputError(
            f"{path} needs a column {NAME!r} and one or more named as in {PSNR}Set5; it has: {', '.join(columns)}"
        )
    psnr: dict[ModelSpec, Mapping[str, float]] = {}
    ssim: dict[ModelSpec, Mapping[str, float]] = {}
    for number, cells in enumerate(rows, 2):
        if len(cells) not in (0, len(columns)):
            raise InvalidInputError(
                f"{path}, row {number} has {len(cells)} cells, but there are {len(columns)} columns"
            )
        row = dict(zip(columns, cells, strict=False))
        words = row.get(NAME, "").split()
        try:
            spec = resolve(words[0]) if words else None
        except UnknownModelError:  # a network of somebody else
            continue
        if spec is not None and spec not in psnr:
            for prefix, figures in ((PSNR, psnr), (SSIM, ssim)):
                figures[spec] = {
                    column.removeprefix(prefix).lower(): _number(cell, f"{path}, row {number}: {column}")
                    for column, cell in row.items()
                    if column.startswith(prefix) and cell
                }
    return Published(sets, psnr, ssim)


def _read_rows(path: Path) -> list[list[str]]:
    # The head is the first row, at least an empty one.
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [[cell.strip() for cell in row] for row in csv.reader(file, strict=True)] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} cannot be read as a CSV file: {error}") from error


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInputError(f"{where} is {cell!r}, not a number")
    return value
