"""Frame → frame: where colour lies, what passes through, and pixels against float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_media.color import ChromaLocation, Color
from esr_media.formats import PIXEL_FORMATS, ColorModel, PixelFormat
from esr_upscale.components import unpack
from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.filters import Siting, keys_cubic
from esr_upscale.frame import Frame, pixel_format, siting_of
from esr_upscale.models import load_weights, resolve
from esr_upscale.upscaler import Upscaler
from tests.support.frames import bicubic_reference, noise_frame

SCALES = (2, 3, 4)

OFFSETS = {
    ChromaLocation.UNSPECIFIED: (0.25, 0.5),
    ChromaLocation.LEFT: (0.25, 0.5),
    ChromaLocation.CENTER: (0.5, 0.5),
    ChromaLocation.TOPLEFT: (0.25, 0.25),
    ChromaLocation.TOP: (0.5, 0.25),
    ChromaLocation.BOTTOMLEFT: (0.25, 0.75),
    ChromaLocation.BOTTOM: (0.5, 0.75),
}
"""Where a 4:2:0 chroma sample lies in its cell, in cells from the upper left corner (H.273, figure of Annex E)."""

every_location = pytest.mark.parametrize("location", OFFSETS, ids=lambda location: location.name)


@pytest.fixture(scope="module", params=SCALES, ids="x{}".format)
def bicubic(request: pytest.FixtureRequest) -> Upscaler:
    spec = resolve(f"bicubic_x{request.param}")
    return LoadedModel(spec, load_weights(spec), EngineSettings(threads=1)).upscaler


def _frame(fmt: PixelFormat, luma: NDArray[Any], chroma: NDArray[Any], location: ChromaLocation) -> Frame:
    """A planar frame with the same chroma twice."""
    planes = (luma.astype(fmt.dtype), *(chroma.astype(fmt.dtype) for _ in range(2)))
    return Frame(fmt, luma.shape[1], luma.shape[0], planes, color=Color(chroma_location=location))


@every_location
def test_an_impulse_of_chroma_stays_where_it_was(bicubic: Upscaler, location: ChromaLocation) -> None:
    """Output chroma j reads input position (j + o)/s − o: the impulse shows Keys' kernel around that place."""
    fmt, s = pixel_format("yuv420p10le"), bicubic.scale
    chroma = np.full((16, 16), 100)
    chroma[7, 8] = 900
    out = bicubic(_frame(fmt, np.zeros((32, 32)), chroma, location)).frame.planes[1]
    ox, oy = OFFSETS[location]
    kx = np.array([keys_cubic((j + ox) / s - ox - 8) for j in range(16 * s)])
    ky = np.array([keys_cubic((j + oy) / s - oy - 7) for j in range(16 * s)])
    expected = np.clip(100 + 800 * np.outer(ky, kx), 0, 1023)
    assert np.abs(out - expected).max() <= 1


@every_location
def test_a_linear_ramp_stays_linear(bicubic: Upscaler, location: ChromaLocation) -> None:
    """Chroma = 200 + 7·x + 5·y in luma coordinates, where its samples lie, before and after."""
    fmt, s = pixel_format("yuv420p10le"), bicubic.scale
    ox, oy = OFFSETS[location]

    def ramp(size: int, scale: int) -> NDArray[np.float64]:
        x = 2 * (np.arange(size) + ox) / scale
        y = 2 * (np.arange(size) + oy) / scale
        return 200 + 7 * x[None, :] + 5 * y[:, None]

    # Exact in 16ths, so that rounding of the input does not hide a shift: 7·x is a multiple of 1/2.
    frame = _frame(fmt, np.zeros((40, 40)), np.floor(ramp(20, 1) + 0.5), location)
    out = bicubic(frame).frame.planes[2]
    inner = slice(3 * s, -3 * s)
    assert np.abs(out - ramp(20 * s, s))[inner, inner].max() <= 1.5


def test_the_ramp_would_show_a_centred_scaler(bicubic: Upscaler) -> None:
    """The test above can fail: chroma scaled as if it were centred is off by 0.5·(s − 1) output luma pixels."""
    fmt, s = pixel_format("yuv420p10le"), bicubic.scale
    x = np.tile(np.arange(20) * 40.0, (20, 1))
    left = bicubic(_frame(fmt, np.zeros((40, 40)), x, ChromaLocation.LEFT)).frame.planes[1]
    centre = bicubic(_frame(fmt, np.zeros((40, 40)), x, ChromaLocation.CENTER)).frame.planes[1]
    shift = (left.astype(int) - centre)[8, 5 * s : -5 * s].mean()
    assert shift == pytest.approx(40 * 0.25 * (1 - 1 / s), abs=0.5)


@pytest.mark.parametrize("name", [name for name, row in PIXEL_FORMATS.items() if row.model is not ColorModel.RGB])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 5), (33, 18)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_format_within_a_code_value_of_float64(bicubic: Upscaler, name: str, size: tuple[int, int]) -> None:
    fmt = pixel_format(name)
    frame = noise_frame(fmt, *size)
    before, after = unpack(frame), unpack(bicubic(frame).frame)
    sitings = siting_of(fmt, frame.color.chroma_location)
    _assert_scaled(before.luma, after.luma, before.depth, bicubic.scale, (Siting.CENTRED, Siting.CENTRED))
    for plane, scaled in zip(before.chroma, after.chroma, strict=True):
        _assert_scaled(plane, scaled, before.depth, bicubic.scale, sitings)


def _assert_scaled(
    plane: NDArray[Any], scaled: NDArray[Any], depth: int, scale: int, sitings: tuple[Siting, Siting]
) -> None:
    expected = np.clip(bicubic_reference(plane, scale, *sitings), 0, (1 << depth) - 1)
    assert np.abs(scaled - expected[: scaled.shape[0], : scaled.shape[1]]).max() <= 1


@pytest.mark.parametrize("name", ["rgb24", "bgr24"])
def test_rgb_is_scaled_in_full_precision(bicubic: Upscaler, name: str) -> None:
    """Bicubic is linear: without clipping, RGB through YCbCr is RGB scaled by itself, to a code value."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(90, 160, (9, 11 * 3)).astype(np.uint8)
    out = bicubic(Frame(pixel_format(name), 11, 9, (pixels,))).frame.planes[0].reshape(9 * bicubic.scale, -1, 3)
    for k in range(3):
        expected = bicubic_reference(pixels.reshape(9, 11, 3)[:, :, k], bicubic.scale)
        assert np.abs(out[:, :, k] - expected).max() <= 1


@pytest.mark.parametrize("fmt", PIXEL_FORMATS.values(), ids=PIXEL_FORMATS)
def test_all_but_size_and_planes_passes_through(bicubic: Upscaler, fmt: PixelFormat) -> None:
    frame = noise_frame(fmt, 10, 6, pts=-7, location=ChromaLocation.TOPLEFT)
    out = bicubic(frame).frame
    assert (out.width, out.height) == (10 * bicubic.scale, 6 * bicubic.scale)
    same = {f.name for f in dataclasses.fields(Frame)} - {"width", "height", "planes"}
    for name in same:
        assert getattr(out, name) == getattr(frame, name), name


def test_stages_add_up(bicubic: Upscaler) -> None:
    result = bicubic(noise_frame(pixel_format("yuv420p"), 64, 48))
    assert result.luma_s > 0
    assert result.chroma_s > 0


def test_ten_bit_stays_ten_bit(bicubic: Upscaler) -> None:
    """A gradient of single code values of 10 bit comes out with more levels than 8 bit has."""
    fmt = pixel_format("gray10le")
    ramp = np.tile(np.arange(0, 1024, dtype=np.uint16), (4, 1))
    out = bicubic(Frame(fmt, 1024, 4, (ramp,))).frame.planes[0]
    assert len(np.unique(out)) == 1024


@pytest.mark.parametrize("scale", SCALES)
def test_the_model_upscales_luma_and_bicubic_chroma(scale: int) -> None:
    spec, plain = resolve(f"esr_tr_x{scale}"), resolve(f"bicubic_x{scale}")
    settings = EngineSettings(threads=1)
    frame = noise_frame(pixel_format("yuv420p"), 20, 14)
    model = LoadedModel(spec, load_weights(spec), settings).upscaler(frame).frame
    bicubic = LoadedModel(plain, load_weights(plain), settings).upscaler(frame).frame
    for index in (1, 2):
        np.testing.assert_array_equal(model.planes[index], bicubic.planes[index])
    assert np.abs(model.planes[0].astype(int) - bicubic.planes[0]).max() > 5
