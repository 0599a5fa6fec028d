"""Structural similarity of two pictures.

Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
Similarity", IEEE Transactions on Image Processing 13(4), 2004.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esr_upscale.errors import InvalidInputError

WINDOW = 11
"""Pixels on a side of the window, so also of the smallest picture."""
SIGMA, K1, K2 = 1.5, 0.01, 0.03
BAND_ROWS = 16
"""Rows that are filtered at a time."""


@torch.inference_mode()
def ssim(picture: NDArray[Any], truth: NDArray[Any], peak: float = 255.0) -> float:
    """Return the mean SSIM of two pictures (H, W) whose values go up to `peak`: 1 for equal ones, less for others.

    The form of the authors' `ssim_index`: an 11×11 Gaussian window (σ = 1.5, sum 1), only where it lies wholly inside
    the picture; variances and covariance weighted by it, without the n/(n − 1) of a sample; pictures not shrunk first.
    Computed in float64. Raises InvalidInputError for pictures of different sizes or smaller than the window.
    """
    if picture.shape != truth.shape or min(truth.shape) < WINDOW:
        raise InvalidInputError(
            f"SSIM is of two pictures of one size, at least {WINDOW}×{WINDOW}, not {_size(picture)} and {_size(truth)}"
        )
    x, y = (torch.from_numpy(np.ascontiguousarray(plane, np.float64)) for plane in (picture, truth))
    planes = torch.stack([x, y, x * x, y * y, x * y])
    # Sums of slices in float64, in bands that stay in the cache, take a tenth of the time of torch's convolution:
    # 0.12 s against 1.6 s for five planes of 1920×1080 on one thread.
    starts = range(0, planes.shape[1] - WINDOW + 1, BAND_ROWS)
    mean_x, mean_y, xx, yy, xy = torch.cat(
        [_filter(_filter(planes[:, row : row + BAND_ROWS + WINDOW - 1], 1), 2) for row in starts], 1
    )
    means, products = mean_x * mean_y, mean_x**2 + mean_y**2
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    likeness = (2 * means + c1) * (2 * (xy - means) + c2) / ((products + c1) * (xx + yy - products + c2))
    return float(likeness.mean())


def _filter(planes: Tensor, axis: int) -> Tensor:
    # The Gaussian is a product of two, one for each axis.
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    taps = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    size = planes.shape[axis] - WINDOW + 1
    result = torch.zeros_like(planes.narrow(axis, 0, size))
    for place, tap in enumerate((taps / taps.sum()).tolist()):
        result.add_(planes.narrow(axis, place, size), alpha=tap)
    return result


def _size(picture: NDArray[Any]) -> str:
    return "×".join(str(side) for side in reversed(picture.shape))
