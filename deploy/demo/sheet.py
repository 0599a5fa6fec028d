"""Drawing compare.png: a frame of each shot, and crops of it from a player, from the model and from the original."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deploy.demo.clip import CRF, FORMAT
from deploy.demo.quality import Comparison, Crop, best_crops, mean_psnr

CROP_SIZE = (80, 60)
CROPS = 2
"""Of each shot."""
ZOOM = 4
"""Of the crops: each pixel is a square of so many."""
_MARGIN, _HEADER, _CAPTION, _FOOTER = 14, 68, 28, 30
_INK, _GRAY, _GAIN, _BOX = "#111111", "#666666", "#0a7a2f", "#ffe000"


def draw_sheet(comparisons: Sequence[Comparison], model: str, credit: str, path: Path) -> None:
    """Write a PNG with a block for each shot, below a header with the PSNR over all."""
    crop_width, crop_height = (side * ZOOM for side in CROP_SIZE)
    frame_width = max(comparison.size[0] for comparison in comparisons)
    lefts = [_MARGIN, *(2 * _MARGIN + frame_width + i * (crop_width + _MARGIN) for i in range(3))]
    block_height = CROPS * (crop_height + _CAPTION) + _MARGIN
    size = (lefts[-1] + crop_width + _MARGIN, _HEADER + len(comparisons) * block_height + _FOOTER)
    sheet = Image.new("RGB", size, "white")
    _draw_header(sheet, lefts, comparisons, model)
    for index, comparison in enumerate(comparisons):
        top = _HEADER + index * block_height
        crops = best_crops(comparison, CROP_SIZE, CROPS)
        _draw_frame(sheet, (lefts[0], top), comparison, crops, model)
        for number, crop in enumerate(crops):
            _draw_crops(sheet, lefts[1:], top + number * (crop_height + _CAPTION), comparison, crop, number + 1)
    frames = sum(len(comparison.original) for comparison in comparisons)
    footer = f"PSNR of luma, mean over {frames} frames. Crops: where the gain is largest. {credit}"
    _write(sheet, (_MARGIN, size[1] - _FOOTER + 4), footer, 14, _GRAY)
    sheet.save(path)


def _write(image: Image.Image, at: tuple[int, int], text: str, size_px: int, fill: str) -> None:
    ImageDraw.Draw(image).text(at, text, fill=fill, font=ImageFont.load_default(size_px))


def _gain_color(gain_db: float) -> str:
    return _GAIN if gain_db > 0 else _GRAY


def _draw_header(sheet: Image.Image, lefts: Sequence[int], comparisons: Sequence[Comparison], model: str) -> None:
    player_db, model_db = mean_psnr(comparisons)
    gain_db = model_db - player_db
    columns = (
        ("Frame of the original", f"sent at 1/{comparisons[0].scale} of its size, x264 CRF {CRF}", _GRAY),
        ("Lanczos, as in a player", f"{player_db:.2f} dB", _GRAY),
        (f"edge-sr, {model}", f"{model_db:.2f} dB, {gain_db:+.2f}", _gain_color(gain_db)),
        ("Original", "before it was made small", _GRAY),
    )
    for left, (title, line, color) in zip(lefts, columns, strict=True):
        _write(sheet, (left, 8), title, 24, _INK)
        _write(sheet, (left, 39), line, 19, color)


def _picture(video: NDArray[np.uint8], frame: int) -> Image.Image:
    pixels = av.VideoFrame.from_ndarray(np.ascontiguousarray(video[frame]), format=FORMAT).to_ndarray(format="rgb24")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _draw_frame(
    sheet: Image.Image, at: tuple[int, int], comparison: Comparison, crops: Sequence[Crop], model: str
) -> None:
    """Draw the frame with a numbered box for each crop, and below it the PSNR of the shot."""
    picture = _picture(comparison.original, crops[0].frame)
    draw = ImageDraw.Draw(picture)
    for number, crop in enumerate(crops, 1):
        draw.rectangle((crop.x, crop.y, crop.x + crop.width - 1, crop.y + crop.height - 1), outline=_BOX, width=2)
        font = ImageFont.load_default(20)
        draw.text((crop.x + 6, crop.y + 3), str(number), fill=_BOX, font=font, stroke_width=2, stroke_fill="black")
    sheet.paste(picture, at)
    player_db, model_db = comparison.psnr_db
    gain_db = model_db - player_db
    lines = (
        (f"{comparison.name}, {len(comparison.original)} frames", _INK),
        (f"Lanczos: {player_db:.2f} dB", _GRAY),
        (f"{model}: {model_db:.2f} dB, {gain_db:+.2f}", _gain_color(gain_db)),
    )
    for number, (line, color) in enumerate(lines):
        _write(sheet, (at[0], at[1] + picture.height + 10 + 26 * number), line, 19, color)


def _draw_crops(
    sheet: Image.Image, lefts: Sequence[int], top: int, comparison: Comparison, crop: Crop, number: int
) -> None:
    """Draw a crop of player, model and original, with its number and its PSNR below."""
    player_db, model_db = comparison.psnr_in(crop)
    gain_db = model_db - player_db
    columns = (
        (comparison.player, f"{number}: {player_db:.2f} dB", _GRAY),
        (comparison.model, f"{number}: {model_db:.2f} dB, {gain_db:+.2f}", _gain_color(gain_db)),
        (comparison.original, f"{number}", _GRAY),
    )
    size = (crop.width * ZOOM, crop.height * ZOOM)
    for left, (video, caption, color) in zip(lefts, columns, strict=True):
        cut = _picture(video, crop.frame).crop((crop.x, crop.y, crop.x + crop.width, crop.y + crop.height))
        sheet.paste(cut.resize(size, Image.Resampling.NEAREST), (left, top))
        _write(sheet, (left, top + size[1] + 4), caption, 16, color)
