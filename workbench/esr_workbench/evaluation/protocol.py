"""The evaluation protocol: what LR is made from HR, and what is measured.

HR picture → luma Y of BT.601 (16 … 235, `pictures.py`) in floating point, cropped to a multiple of s → LR by
antialiased bicubic (a = −0.5) in float64, rounded to 8 bits → upscaled by the backend that serves → PSNR and SSIM
(`ssim.py`) against the unrounded Y, s pixels shaved at every border, averaged over a set's pictures (`quality.py`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

PEAK = 255.0


def crop(picture: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return `picture` (H, W) without the rows and columns past a multiple of `scale`."""
    height, width = picture.shape
    return picture[: height - height % scale, : width - width % scale]


def degrade(luma: NDArray[Any], scale: int) -> NDArray[np.uint8]:
    """Return the LR picture (H/s, W/s) of `luma` (H, W), both sizes multiples of `scale`: 8-bit code values."""
    x = torch.from_numpy(luma.astype(np.float64))[None, None]
    size = (luma.shape[0] // scale, luma.shape[1] // scale)
    y = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
    lr: NDArray[np.uint8] = y[0, 0].round().clamp(0, PEAK).to(torch.uint8).numpy()
    return lr


def psnr(picture: NDArray[Any], truth: NDArray[Any], shave: int) -> float:
    """Return the PSNR in dB (peak 255) of (H, W) pictures, without `shave` pixels at every border."""
    inner = slice(shave, -shave or None)
    difference = picture[inner, inner].astype(np.float64) - truth[inner, inner]
    return decibels(float(np.mean(difference**2)), PEAK)


def decibels(mse: float, peak: float) -> float:
    """Return the PSNR of a mean squared error of values up to `peak`; infinite for no error."""
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)
