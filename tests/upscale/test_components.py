"""Between memory layout and component planes."""

from __future__ import annotations

import numpy as np
import pytest

from esr_media.formats import PIXEL_FORMATS, ColorModel, PixelFormat
from esr_upscale.components import pack, unpack, working_depth
from esr_upscale.frame import Frame, pixel_format
from tests.support.frames import noise_planes


@pytest.mark.parametrize("fmt", PIXEL_FORMATS.values(), ids=PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 48)])
def test_there_and_back_is_exact(fmt: PixelFormat, size: tuple[int, int]) -> None:
    """But for RGB of 16 bits, whose luma and chroma are rounded to as many."""
    planes = noise_planes(fmt, *size)
    most = 2 if fmt.model is ColorModel.RGB and fmt.depth == 16 else 0
    packed = pack(fmt, unpack(Frame(fmt, *size, planes)))
    for before, after in zip(planes, packed, strict=True):
        assert after.dtype == before.dtype
        assert np.abs(after.astype(int) - before).max() <= most


def test_every_rgb_colour_survives() -> None:
    """All 2²⁴ colours would take a while: every pair of two components, and the cube's grid in steps of 5."""
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1)
    fmt = pixel_format("rgb24")
    frame = Frame(fmt, grid.shape[1] // 3, 1, (grid,))
    np.testing.assert_array_equal(pack(fmt, unpack(frame))[0], grid)


def test_planar_components_are_views() -> None:
    fmt = pixel_format("yuv420p")
    planes = noise_planes(fmt, 16, 8)
    parts = unpack(Frame(fmt, 16, 8, planes))
    assert all(np.shares_memory(a, b) for a, b in zip((parts.luma, *parts.chroma), planes, strict=True))


def test_p010_is_taken_down_to_code_values() -> None:
    fmt = pixel_format("p010le")
    luma = np.full((2, 2), 1023 << 6, np.uint16)
    chroma = np.array([[1 << 6, 2 << 6]], np.uint16)
    parts = unpack(Frame(fmt, 2, 2, (luma, chroma)))
    assert parts.depth == 10
    assert parts.luma.max() == 1023
    assert [plane.tolist() for plane in parts.chroma] == [[[1]], [[2]]]


def test_grey_rgb_is_luma_alone() -> None:
    fmt = pixel_format("bgr24")
    parts = unpack(Frame(fmt, 3, 1, (np.array([[0, 0, 0, 128, 128, 128, 255, 255, 255]], np.uint8),)))
    assert parts.depth == working_depth(fmt) == 16
    assert parts.luma.tolist() == [[0, 128 * 257, 65535]]
    assert all((plane == 32768).all() for plane in parts.chroma)


def test_rgb_and_bgr_agree() -> None:
    rgb = noise_planes(pixel_format("rgb24"), 9, 4)[0]
    bgr = rgb.reshape(4, 9, 3)[:, :, ::-1].reshape(4, 27).copy()
    one = unpack(Frame(pixel_format("rgb24"), 9, 4, (rgb,)))
    other = unpack(Frame(pixel_format("bgr24"), 9, 4, (bgr,)))
    np.testing.assert_array_equal(one.luma, other.luma)
    np.testing.assert_array_equal(one.chroma[1], other.chroma[1])
