"""Pictures as luma, by the convention that everything here is trained and judged by.

Luma is BT.601's of limited range, 16 … 235, as MATLAB's rgb2ycbcr makes it: 16 + (65.481 R + 128.553 G + 24.966 B)/255
for R, G and B of full range, 0 … 255. Gray counts as R = G = B. Of samples that are of limited range already, luma is
their weighted sum, and gray is luma as it is. Files do not say which range they have: the caller does.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from esr_upscale.bt601 import LUMA_WEIGHTS
from esr_upscale.errors import InvalidInputError

SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
BLACK, WHITE = 16, 235
"""The ends of limited range at 8 bits."""
OUTSIDE = 0.01
"""The share of samples outside limited range above which a picture cannot be of limited range."""
DEEP_GRAY = ("I", "I;16", "I;16B", "I;16L")
"""Pillow's modes of gray that may have 16 bits."""


class Range(StrEnum):
    """The range of a picture's samples."""

    FULL = "full"
    LIMITED = "limited"


def list_pictures(directory: Path) -> list[Path]:
    """Return the pictures in `directory`, sorted. Raises InvalidInputError when there are none."""
    if not directory.is_dir():
        raise InvalidInputError(f"{directory} is not a directory of pictures")
    pictures = sorted(p for p in directory.iterdir() if p.suffix.lower() in SUFFIXES)
    if not pictures:
        raise InvalidInputError(f"{directory} has no pictures ({', '.join(sorted(SUFFIXES))})")
    return pictures


def read_luma(path: Path, samples: Range = Range.FULL) -> NDArray[np.float64]:
    """Return the BT.601 luma (H, W) of a picture, 16 … 235, not rounded.

    Raises InvalidInputError when it cannot be read, and when it cannot be of limited range as `samples` says.
    """
    return luma_of(read_samples(path), samples, path.name)


def read_samples(path: Path) -> NDArray[np.float64]:
    """Return the samples of a picture, 0 … 255: (H, W, 3) of colour, (H, W, 1) of gray. Transparency shows white.

    Samples of 16 bits keep their fraction where they are gray. Raises InvalidInputError when it cannot be read.
    """
    try:
        with Image.open(path) as image:
            if image.mode in DEEP_GRAY:
                return np.asarray(image, np.float64)[..., None] / 257
            if image.mode == "F":
                raise InvalidInputError(f"{path} has floating-point samples; pictures of 8 or 16 bits are needed")
            mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
            if image.has_transparency_data:
                picture = image.convert("RGBA")
                opaque = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(mode)
            else:
                opaque = image.convert(mode)
            return np.atleast_3d(np.asarray(opaque, np.float64))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"{path} cannot be read as a picture: {error}") from error


def luma_of(picture: NDArray[Any], samples: Range, name: str) -> NDArray[np.float64]:
    """Return the BT.601 luma (H, W) of samples (H, W, 3) or (H, W, 1). `name` is for the message.

    Raises InvalidInputError for limited range, if more than 1 % of the samples lie outside of it.
    """
    luma: NDArray[np.float64]
    if samples is Range.LIMITED:
        outside = float(np.mean((picture < BLACK) | (picture > WHITE)))
        if outside > OUTSIDE:
            raise InvalidInputError(
                f"{name} is not of limited range: {outside:.0%} of its samples lie outside {BLACK} … {WHITE}"
            )
        luma = picture[..., 0] if picture.shape[2] == 1 else picture @ np.array(LUMA_WEIGHTS)
        return luma
    if picture.shape[2] == 1:
        luma = BLACK + picture[..., 0] * ((WHITE - BLACK) / 255)
    else:
        luma = BLACK + picture @ np.array([65.481, 128.553, 24.966]) / 255
    return luma
