"""Before and after, for docs/what-to-expect.md: a drawn picture made half as large, and upscaled again.

    python -m benchmarks.before_after OUT.png

The first row starts from a clean picture, the second from one that x264 compressed at CRF 28. Everything in it is
drawn here, so it has no licence but ours. PSNR is of luma, over the whole picture.
"""

from __future__ import annotations

import sys
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.models import load_weights, resolve
from esr_workbench.evaluation.protocol import degrade, psnr
from esr_workbench.media.recoding import recode

SIZE = 320
DETAIL = 4
"""How much larger the picture is drawn, to have smooth edges."""
MODELS = ("bicubic_x2", "esr_tr_x2", "esr_stack_x2")
CRF = 28
CROP = (96, 128, 112, 84)
"""Left, top, width and height of what is shown."""
ZOOM = 3
LABEL_PX = 20


def drawn_picture() -> NDArray[np.uint8]:
    """Draw text, circles and rays. Return (SIZE, SIZE) luma of limited range."""
    side = SIZE * DETAIL
    image = Image.new("L", (side, side), 200)
    draw = ImageDraw.Draw(image)
    for ray in range(24):
        x, y = cos(ray * pi / 24), sin(ray * pi / 24)
        ends = [(side / 2 - x * side, side / 2 - y * side), (side / 2 + x * side, side / 2 + y * side)]
        draw.line(ends, fill=120 - 3 * ray, width=DETAIL + ray // 4)
    for radius in range(20, 160, 14):
        box = [side / 2 - radius * DETAIL, side / 2 - radius * DETAIL]
        draw.ellipse([*box, *(side - corner for corner in box)], outline=60 + radius, width=2 * DETAIL)
    draw.rectangle([90 * DETAIL, 140 * DETAIL, 230 * DETAIL, 204 * DETAIL], fill=225)
    for row, (text, size) in enumerate((("Sharper edges", 19), ("and fine print", 14), ("no new detail", 9))):
        draw.text((100 * DETAIL, (142 + 22 * row) * DETAIL), text, fill=30, font=ImageFont.load_default(size * DETAIL))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))


def _tile(luma: NDArray[np.uint8], label: str) -> Image.Image:
    left, top, width, height = CROP
    crop = Image.fromarray(luma[top : top + height, left : left + width])
    tile = Image.new("L", (width * ZOOM, height * ZOOM + LABEL_PX), 255)
    tile.paste(crop.resize((width * ZOOM, height * ZOOM), Image.Resampling.NEAREST), (0, LABEL_PX))
    ImageDraw.Draw(tile).text((2, 2), label, fill=0, font=ImageFont.load_default(13))
    return tile


def draw(out: Path) -> None:
    """Upscale both sources with each model, and write the crops with their PSNR."""
    truth = drawn_picture()
    small = degrade(truth.astype(np.float64), 2)
    rows = []
    for source, what in ((small, "clean"), (recode(small[None], "x264", CRF)[0], f"CRF {CRF}")):
        tiles = []
        for name in MODELS:
            spec = resolve(name)
            upscaled = LoadedModel(spec, load_weights(spec), EngineSettings()).luma(8)(source)
            tiles.append(_tile(upscaled, f"{name}, {what}: {psnr(upscaled, truth, 2):.2f} dB"))
        rows.append([*tiles, _tile(truth, "the original")])
    width, height = rows[0][0].size
    gap = 4
    picture = Image.new("L", (4 * (width + gap) - gap, 2 * (height + gap) - gap), 255)
    for y, tiles in enumerate(rows):
        for x, tile in enumerate(tiles):
            picture.paste(tile, (x * (width + gap), y * (height + gap)))
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
