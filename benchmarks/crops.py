"""Crops for docs/models.md: what Lanczos, a model of the paper and eSR-Stack make of coded video.

    python -m benchmarks.crops OUT.png

A window pans over each picture by parts of a pixel; the clip is made half as large by area averaging, as cameras do it,
and coded by x264. The photographs come with scikit-image: astronaut (NASA, public domain), chelsea (Stéfan van der
Walt, CC0) and grass (CC0 Textures, CC0). Text and lines are drawn. PSNR is of the luma of the whole frame.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.before_after import drawn_picture
from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.models import load_weights, resolve
from esr_workbench.degradation.degrade import Coding, Degradation
from esr_workbench.degradation.motion import Motion, moving
from esr_workbench.degradation.resampling import enlarge
from esr_workbench.evaluation.pictures import read_luma
from esr_workbench.evaluation.protocol import psnr

MODELS = ("esr_tr_x2", "esr_stack_x2")
CRFS = (23, 28, 34)
WINDOW_PX, FRAMES, SHOWN = 256, 8, 6
"""The clip of each picture, and the frame of it that is shown."""
CROP_PX, ZOOM, GAP_PX, LABEL_PX = (72, 72), 2, 3, 16

Upscale = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A picture, where its window is, and which part of that is shown."""

    name: str
    picture: Callable[[], NDArray[np.uint8]]
    window: tuple[int, int]
    """Top and left, in the frame that is shown."""
    crop: tuple[int, int]
    """Top and left, in the window."""

    def clip(self) -> NDArray[np.uint8]:
        """Return the luma of a moving window (FRAMES, WINDOW_PX, WINDOW_PX)."""
        velocity = (0.31, 0.77)
        start = [place - speed * SHOWN for place, speed in zip(self.window, velocity, strict=True)]
        return moving(self.picture(), Motion(velocity, 0.0, (start[0], start[1])), WINDOW_PX, FRAMES)


def _photograph(name: str) -> Callable[[], NDArray[np.uint8]]:
    def read() -> NDArray[np.uint8]:
        path = Path(str(files("skimage").joinpath("data", f"{name}.png")))
        return np.rint(read_luma(path)).astype(np.uint8)

    return read


SUBJECTS = (
    Subject("face", _photograph("astronaut"), (20, 90), (60, 90)),
    Subject("fur", _photograph("chelsea"), (20, 90), (80, 20)),
    Subject("foliage", _photograph("grass"), (60, 60), (60, 60)),
    Subject("text", drawn_picture, (20, 30), (116, 66)),
    Subject("lines", drawn_picture, (20, 30), (30, 100)),
)


def upscalers() -> dict[str, Upscale]:
    """Return what is compared; models with their weights for any source."""
    by_name: dict[str, Upscale] = {"Lanczos": lambda small: np.rint(enlarge(small, 2).clip(0, 255)).astype(np.uint8)}
    for name in MODELS:
        spec = resolve(name)
        by_name[name] = LoadedModel(spec, load_weights(spec), EngineSettings()).luma(8)
    return by_name


def _tile(luma: NDArray[np.uint8], subject: Subject, label: str) -> Image.Image:
    top, left = subject.crop
    crop = Image.fromarray(luma[top : top + CROP_PX[0], left : left + CROP_PX[1]])
    width, height = CROP_PX[1] * ZOOM, CROP_PX[0] * ZOOM
    tile = Image.new("L", (width, height + LABEL_PX), 255)
    tile.paste(crop.resize((width, height), Image.Resampling.NEAREST), (0, LABEL_PX))
    ImageDraw.Draw(tile).text((1, 1), label, fill=0, font=ImageFont.load_default(11))
    return tile


def draw(out: Path) -> None:
    """Write a row for each subject: each upscaler at each CRF, and the original."""
    compared, rows = upscalers(), []
    for subject in SUBJECTS:
        clip = subject.clip()
        truth, tiles = clip[SHOWN], []
        for crf in CRFS:
            way = Degradation(kernel="area", coding=Coding("x264", crf))
            small = way.apply(clip, 2, np.random.default_rng(1))[SHOWN]
            for name, upscale in compared.items():
                picture = upscale(small)
                tiles.append(_tile(picture, subject, f"{name} {psnr(picture, truth, 2):.2f} dB"))
        rows.append([*tiles, _tile(truth, subject, f"{subject.name}: original")])
    width, height = rows[0][0].size
    sheet = Image.new("L", (len(rows[0]) * (width + GAP_PX), LABEL_PX + len(rows) * (height + GAP_PX)), 255)
    for column, crf in enumerate(CRFS):
        at = (column * len(compared) * (width + GAP_PX) + 1, 1)
        ImageDraw.Draw(sheet).text(at, f"CRF {crf}", fill=0, font=ImageFont.load_default(13))
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (column * (width + GAP_PX), LABEL_PX + row * (height + GAP_PX)))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
