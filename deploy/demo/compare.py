"""The picture that shows what it is about: one crop of the source, of bicubic ×2 and of a model ×2, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import esr_client

_ZOOM = 2  # of the upscaled crops; the source's pixels are shown twice as large, for the same size
_MARGIN, _LABEL = 12, 40



@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of the source, in its pixels, and the time in seconds of the frame it is taken from."""

    x: int
    y: int
    width: int
    height: int
    at_s: float


def source_frame(clip: Path, at_s: float) -> av.VideoFrame:
    """The clip's first frame at or after a time."""
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            if frame.time >= at_s:
                return frame
    raise ValueError(f"{clip.name} ends before {at_s:g} s")


def compare(client: esr_client.Client, clip: Path, crop: Crop, models: tuple[str, ...], target: Path) -> None:
    """Write a PNG with the crop from the source and from every model, each labelled."""
    source = source_frame(clip, crop.at_s)
    pictures = [("source", _cut(source, crop, 1))]
    pictures += [(f"{m.rpartition('_')[0]} x2", _cut(client.upscale_image(source, model=m), crop, 2)) for m in models]
    _side_by_side(pictures).save(target)


def _cut(frame: av.VideoFrame, crop: Crop, scale: int) -> Image.Image:
    pixels = np.asarray(frame.to_ndarray(format="rgb24"))
    top, left = crop.y * scale, crop.x * scale
    part = pixels[top : top + crop.height * scale, left : left + crop.width * scale]
    zoom = _ZOOM * 2 // scale
    size = (part.shape[1] * zoom, part.shape[0] * zoom)
    return Image.fromarray(np.ascontiguousarray(part)).resize(size, Image.Resampling.NEAREST)


def _side_by_side(pictures: list[tuple[str, Image.Image]]) -> Image.Image:
    width, height = pictures[0][1].size
    sheet = Image.new("RGB", (len(pictures) * (width + _MARGIN) + _MARGIN, height + _LABEL + _MARGIN), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=22)
    for index, (label, picture) in enumerate(pictures):
        left = _MARGIN + index * (width + _MARGIN)
        sheet.paste(picture, (left, _LABEL))
        draw.text((left, 8), label, fill=(0, 0, 0), font=font)
    return sheet
