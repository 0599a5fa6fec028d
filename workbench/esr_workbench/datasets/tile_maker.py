"""From pictures of any kind to the luma tiles that training reads (`tiles.py`)."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from esr_upscale.errors import InvalidInputError
from esr_upscale.models.card import UNKNOWN_LICENCE
from esr_workbench.evaluation.pictures import BLACK, SUFFIXES, WHITE, Range, luma_of, read_samples
from esr_workbench.model_files.cards import CREDITS_FILE

FLAT = 1.0
"""Mean squared difference of neighbouring pixels, in squared code values, below which a tile has nothing to teach."""
CREDITS_HEAD = ("source", "file", "origin", "licence", "reduced_by", "tiles")
TILE_NAME = re.compile(r".+_\d+_\d+\.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSettings:
    """How pictures are cut into tiles."""

    size: int = 256
    """Pixels on a side of a tile."""
    most: int = 24
    """How many tiles of a picture are kept, those with the most detail."""
    reduce: int = 1
    """How many times smaller on a side a picture is made before, by averaging areas."""
    samples: Range = Range.FULL
    """The range of the pictures' samples."""
    licence: str = UNKNOWN_LICENCE
    """SPDX id of the pictures' licence, for CREDITS.csv."""
    origin: str = ""
    """Where the pictures are from, for CREDITS.csv."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to cut, and the name that its tiles begin with."""

    path: Path
    folder: str
    """Name of the folder that it was found through; empty for one that was named itself."""
    name: str


@dataclass(slots=True)
class Outcome:
    """What came of the pictures."""

    tiles: int = 0
    pictures: int = 0
    """Pictures that gave tiles."""
    skipped: list[str] = field(default_factory=list)
    """Pictures that gave none, each with the reason."""
    failed: list[str] = field(default_factory=list)
    """Pictures that could not be read, each with the reason."""
    looks_limited: bool = True
    """No sample of any picture lies outside limited range."""


def find_pictures(sources: Sequence[Path], out: Path) -> list[Picture]:
    """Return the pictures that `sources`, files and folders with all below them, have; each once, in order.

    What lies in `out` and what is hidden is left out.

    Raises:
        InvalidInputError: a source does not exist, has no pictures or lies in `out`, or two pictures have one name.
    """
    folder_out = out.resolve()
    pictures_by_path: dict[Path, Picture] = {}
    for source in sources:
        resolved = source.resolve()
        if resolved.is_relative_to(folder_out):
            raise InvalidInputError(f"{source} lies in {out}, where tiles are to be written; name another directory")
        if not source.exists():
            raise InvalidInputError(f"{source} does not exist")
        paths = sorted(_pictures_below(resolved, folder_out)) if source.is_dir() else [resolved]
        if not paths:
            raise InvalidInputError(f"{source} has no pictures ({', '.join(sorted(SUFFIXES))})")
        for path in paths:
            parts = path.relative_to(resolved.parent).parts if source.is_dir() else (path.name,)
            pictures_by_path.setdefault(path, Picture(path, resolved.name if source.is_dir() else "", "__".join(parts)))
    # `a.png` and `a.jpg` are two pictures: there the suffix stays.
    stems = {path: picture.name.removesuffix(path.suffix) for path, picture in pictures_by_path.items()}
    stem_counts = Counter(stems.values())
    pictures = [
        Picture(path, picture.folder, stems[path] if stem_counts[stems[path]] == 1 else picture.name)
        for path, picture in pictures_by_path.items()
    ]
    counts = Counter(picture.name for picture in pictures)
    for name, count in counts.items():
        if count > 1:
            same = [str(picture.path) for picture in pictures if picture.name == name]
            raise InvalidInputError(f"tiles of {' and '.join(same)} would have the same name; rename one of them")
    return pictures


def _pictures_below(folder: Path, out: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden and not path.is_relative_to(out):
            yield path


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Check that tiles can be written to `out`, before anything is read.

    Raises:
        InvalidInputError: it is a file; it has files and `overwrite` is off; or it has files that are not tiles.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InvalidInputError(f"{out} is a file; name a directory for the tiles")
    names = sorted(path.name for path in out.iterdir())
    if names and not overwrite:
        raise InvalidInputError(f"{out} exists and is not empty; --overwrite replaces the tiles in it")
    others = [name for name in names if name != CREDITS_FILE and not TILE_NAME.fullmatch(name)]
    if others:
        raise InvalidInputError(f"{out} has files that are not tiles, {others[0]} for one; name another directory")


def make_tiles(
    pictures: Sequence[Picture],
    out: Path,
    settings: TileSettings,
    report: Callable[[int, int], None] = lambda *_: None,
) -> Outcome:
    """Write the tiles of `pictures` and a CREDITS.csv to the directory `out`, all of them or nothing.

    What `out` had is replaced. `report` is told after each picture how many are done, and of how many.

    Raises:
        InvalidInputError: no picture gives a tile, or `out` cannot be written.
    """
    outcome = Outcome()
    whole = out.resolve()
    part, old = (whole.with_name(f".{whole.name}.{os.getpid()}.{suffix}") for suffix in ("part", "old"))
    try:
        part.mkdir(parents=True)
        rows = []
        for number, picture in enumerate(pictures, 1):
            count = _write_tiles(picture, part, settings, outcome)
            if count:
                credit = (picture.folder, picture.path.name, settings.origin, settings.licence)
                rows.append((*credit, str(settings.reduce), str(count)))
            report(number, len(pictures))
        if not outcome.tiles:
            raise InvalidInputError(f"there are no tiles to write: {'; '.join(outcome.failed + outcome.skipped)}")
        with (part / CREDITS_FILE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([CREDITS_HEAD, *rows])
        if whole.exists():
            whole.rename(old)
        part.rename(whole)
    except OSError as error:
        raise InvalidInputError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        for folder in (part, old):
            shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _write_tiles(picture: Picture, folder: Path, settings: TileSettings, outcome: Outcome) -> int:
    try:
        samples = read_samples(picture.path)
        luma = luma_of(samples, settings.samples, str(picture.path))
    except InvalidInputError as error:
        outcome.failed.append(str(error))
        return 0
    outcome.looks_limited &= bool(samples.min() >= BLACK and samples.max() <= WHITE)
    # Made smaller by Lanczos, not by averages of areas: those take a third of the finest detail and alias, and networks
    # that were trained on them gained 0.02 dB less on clean video.
    height, width = (size // settings.reduce for size in luma.shape)
    whole = (0, 0, width * settings.reduce, height * settings.reduce)
    image = Image.fromarray(luma.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS, whole)
    luma = np.asarray(image, np.float64)
    if min(height, width) < settings.size:
        outcome.skipped.append(f"{picture.path} is {width}×{height}, too small for tiles of {settings.size}")
        return 0
    tiles = detailed_tiles(np.clip(np.round(luma), 0, 255).astype(np.uint8), settings.size)[: settings.most]
    if not tiles:
        outcome.skipped.append(f"{picture.path} is flat")
        return 0
    for y, x, tile in tiles:
        Image.fromarray(tile).save(folder / f"{picture.name}_{y}_{x}.png")
    outcome.tiles += len(tiles)
    outcome.pictures += 1
    return len(tiles)


def detailed_tiles(luma: NDArray[np.uint8], size: int) -> list[tuple[int, int, NDArray[np.uint8]]]:
    """Return the tiles of `luma` (H, W) side by side from the upper left, with their rows and columns.

    Those with the most detail come first; flat ones are left out.
    """
    tiles = []
    for y in range(0, luma.shape[0] - size + 1, size):
        for x in range(0, luma.shape[1] - size + 1, size):
            tile = luma[y : y + size, x : x + size]
            steps = (np.diff(tile.astype(np.float64), axis=axis) for axis in (0, 1))
            detail = sum(float(np.mean(step**2)) for step in steps)
            if detail >= FLAT:
                tiles.append((-detail, y, x, tile))
    return [(y, x, tile) for _, y, x, tile in sorted(tiles, key=lambda entry: entry[:3])]
