"""Sizes between those of the models."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from esr_client import ChromaLocation, Color, Frame, InputError
from esr_client.files._resize import Resizer, WantedSize, scale_for


@pytest.mark.parametrize(
    ("setting", "size"),
    [
        (WantedSize(), None),
        (WantedSize(height=1080), (1920, 1080)),
        (WantedSize(width=1280), (1280, 720)),
        (WantedSize(scale=Fraction(3, 2)), (1440, 810)),
        (WantedSize(width=1000, height=1000), (1000, 1000)),
        (WantedSize(height=1081), (1922, 1080)),
    ],
)
def test_size(setting: WantedSize, size: tuple[int, int] | None) -> None:
    assert setting.of(960, 540, even=True) == size


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(InputError, match="the input is 960x540 and 853x480 is smaller"):
        WantedSize(height=480).of(960, 540, even=False)
    with pytest.raises(InputError, match="more than 4 times the input's 960x540; choose at most 3840x2160"):
        WantedSize(height=2400).of(960, 540, even=True)
    with pytest.raises(ValueError, match="not both"):
        WantedSize(height=480, scale=Fraction(2))
    with pytest.raises(ValueError, match="height must be above 0, not 0"):
        WantedSize(height=0)


def test_the_smallest_scale_that_is_enough() -> None:
    assert [scale_for((width, 100), 100, 50) for width in (100, 150, 200, 201, 300, 301, 400)] == [2, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("location", [ChromaLocation.LEFT, ChromaLocation.CENTER, ChromaLocation.TOPLEFT])
def test_chroma_keeps_its_place(location: ChromaLocation) -> None:
    """Luma and chroma show the same ramp before and after, where chroma is sampled at its siting."""
    width, height, to_width, to_height = 128, 96, 96, 72
    co_sited_x = location in (ChromaLocation.LEFT, ChromaLocation.TOPLEFT)
    co_sited_y = location is ChromaLocation.TOPLEFT

    def ramp(columns: int, rows: int, step: float, *, chroma: bool) -> np.ndarray:
        """A ramp in units of input luma pixels."""
        offset_x = 0.0 if chroma and co_sited_x else 0.5 if chroma else 0.0
        offset_y = 0.0 if chroma and co_sited_y else 0.5 if chroma else 0.0
        unit = 2 if chroma else 1
        x = (np.arange(columns) * unit + offset_x + 0.5) * step - 0.5
        y = (np.arange(rows) * unit + offset_y + 0.5) * step - 0.5
        values = 64 + 4 * x[None, :] + 2 * y[:, None]
        return np.asarray(values)

    def planes(columns: int, rows: int, step: float) -> list[np.ndarray]:
        return [ramp(columns, rows, step, chroma=False)] + [
            ramp(columns // 2, rows // 2, step, chroma=True) for _ in range(2)
        ]

    source = tuple(np.round(plane).astype("<u2") for plane in planes(width, height, 1.0))
    frame = Frame(source, width, height, "yuv420p10le", pts=7, color=Color(chroma_location=location))
    reduced = Resizer(to_width, to_height)(frame)
    assert (reduced.width, reduced.height, reduced.pts) == (to_width, to_height, 7)
    for plane, expected in zip(reduced.planes, planes(to_width, to_height, width / to_width), strict=True):
        inner = plane.astype(float)[8:-8, 8:-8] - expected[8:-8, 8:-8]
        assert abs(inner.mean()) < 0.5, location
        assert np.abs(inner).max() < 3
