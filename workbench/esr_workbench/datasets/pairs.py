"""Clips that were degraded, kept on disk: small frames with the large ones that they stand for.

A mosaic is six windows that move over six tiles, in two rows of three, so that a codec sees a picture of some size.
Windows begin on whole macroblocks. Each mosaic is degraded several times; some frames are kept.

The files of a cache: `hr.npy` (mosaics, kept, H, W), `lr.npy` (mosaics, ways, kept, H/s, W/s), both uint8, and
`pairs.json`, which says what they were made of and is written last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.errors import InvalidInputError
from esr_workbench.degradation.degrade import Coding, Degradation, draw_degradation
from esr_workbench.degradation.motion import draw_motion, moving

COLUMNS, ROWS = 3, 2
WINDOWS = COLUMNS * ROWS
WINDOW_PX = {2: 224, 3: 240, 4: 192}
"""Pixels of HR on a side, by scale: whole macroblocks of LR, and less than a tile of 256, so that they can move."""
SLACK_PX = 15
"""How much larger than its window a tile is at least, so that the window can move: one of 256 is cut to 255 at ×3."""
FRAMES, KEPT = 10, 3
DONE = "pairs.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """What a cache is made of. The same settings and tiles make the same pairs."""

    scale: int
    mosaics: int = 320
    ways: int = 3
    """Degradations of each mosaic."""
    seed: int = 1


def make_pairs(
    tiles: Sequence[NDArray[np.uint8]],
    emphasis: Sequence[float],
    folder: Path,
    settings: PairSettings,
    report: Callable[[int, int], None],
) -> None:
    """Make a cache from luma tiles and write it to `folder`, unless it is there. It goes on where it was stopped.

    Tiles have WINDOW_PX + SLACK_PX on a side at least, and are drawn in proportion to their `emphasis`. `report` is
    called with the number of mosaics done and in all; what it raises stops the work.
    """
    if (folder / DONE).exists():
        return
    scale, size = settings.scale, WINDOW_PX[settings.scale]
    height, width = ROWS * size, COLUMNS * size
    folder.mkdir(parents=True, exist_ok=True)
    hr = _array(folder / "hr.npy", (settings.mosaics, KEPT, height, width))
    lr = _array(folder / "lr.npy", (settings.mosaics, settings.ways, KEPT, height // scale, width // scale))
    log = folder / "ways.jsonl"
    # A line that a killed run did not end is of a mosaic that is not whole.
    rows = [row for row in log.read_text().splitlines(keepends=True) if row.endswith("\n")] if log.exists() else []
    log.write_text("".join(rows))
    order = _order(emphasis, settings.mosaics * WINDOWS, np.random.default_rng(settings.seed))
    with log.open("a") as log_file:
        for mosaic in range(len(rows), settings.mosaics):
            rng = np.random.default_rng((settings.seed, mosaic))
            clip = np.empty((FRAMES, height, width), np.uint8)
            for part in range(WINDOWS):
                row, column = divmod(part, COLUMNS)
                tile = tiles[order[mosaic * WINDOWS + part]]
                window = moving(tile, draw_motion(tile.shape, size, FRAMES, rng), size, FRAMES)
                clip[:, row * size : (row + 1) * size, column * size : (column + 1) * size] = window
            frames = np.sort(rng.choice(FRAMES, KEPT, replace=False))
            hr[mosaic] = clip[frames]
            ways = [draw_degradation(rng) for _ in range(settings.ways)]
            for index, way in enumerate(ways):
                lr[mosaic, index] = way.apply(clip, scale, rng)[frames]
            hr.flush()
            lr.flush()
            log_file.write(json.dumps([asdict(way) for way in ways]) + "\n")
            log_file.flush()
            report(mosaic + 1, settings.mosaics)
    (folder / DONE).write_text(json.dumps(asdict(settings)) + "\n")


def _order(emphasis: Sequence[float], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return which tile is next: each as often as its emphasis says, to within one."""
    ends = np.cumsum(emphasis) / np.sum(emphasis)
    return rng.permutation(np.searchsorted(ends, (np.arange(count) + rng.random()) / count))


def _array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    mode: Any = "r+" if path.exists() else "w+"
    return np.lib.format.open_memmap(path, mode, np.uint8, shape)


def read_settings(folder: Path) -> PairSettings:
    """Return what a whole cache was made of.

    Raises:
        InvalidInputError: the folder has none, or one that is not finished.
    """
    try:
        return PairSettings(**json.loads((folder / DONE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInputError(f"{folder} has no finished pairs ({error}); make them again") from error


def read_ways(folder: Path) -> list[list[Degradation]]:
    """Return what each mosaic went through, each time."""
    lines = (folder / "ways.jsonl").read_text().splitlines()
    ways: list[list[Degradation]] = []
    for line in lines:
        ways.append([])
        for row in json.loads(line):
            codings = {name: Coding(**row[name]) if row[name] else None for name in ("before", "coding")}
            ways[-1].append(Degradation(**{**row, **codings}))
    return ways
