"""Packed RGB through a model, by fused kernels and by component planes, against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_media.formats import PixelFormat
from esr_upscale.backends import halide
from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.models import load_weights, resolve
from tests.support.frames import bicubic_reference, noise_planes

FORMATS = ("rgb24", "bgr24", "rgb48le", "bgr48le")
SIZES = ((1, 1), (2, 1), (7, 5), (33, 18))
TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""Full-range BT.601, as JFIF has it."""


@pytest.fixture(scope="module", params=("fused", "torch"))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _load(name: str, backend: str) -> LoadedModel:
    spec = resolve(name)
    return LoadedModel(spec, load_weights(spec), EngineSettings(backend=backend, threads=2))


def _frame(name: str, width: int, height: int, seed: int = 0) -> Frame:
    fmt = pixel_format(name)
    return Frame(fmt, width, height, noise_planes(fmt, width, height, seed))


def _rgb(frame: Frame) -> NDArray[Any]:
    pixels = frame.planes[0].reshape(frame.height, frame.width, 3)
    return pixels[:, :, ::-1] if frame.format.name.startswith("bgr") else pixels


def _expected(model: LoadedModel, frame: Frame) -> NDArray[np.float64]:
    """Luma by the model at 16 bits, chroma by bicubic and clipped as a plane of it is, the matrix in float64."""
    maximum = (1 << frame.format.depth) - 1
    ycbcr = _rgb(frame).astype(np.float64) / maximum @ TO_YCBCR.T
    luma = model.luma(16)(np.floor(ycbcr[:, :, 0] * 65535 + 0.5).astype(np.uint16)) / 65535
    chroma = [np.clip(bicubic_reference(ycbcr[:, :, k], model.spec.scale), -0.5, 0.5) for k in (1, 2)]
    rgb = np.stack([luma, *chroma], axis=-1) @ np.linalg.inv(TO_YCBCR).T
    return np.asarray(np.clip(rgb, 0, 1) * maximum)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rgb_is_within_a_code_value_of_float64(backend: str, scale: int, name: str) -> None:
    """Noise over all code values has every extreme: overshoot, and clipping of luma, chroma and RGB."""
    model = _load(f"esr_tr_x{scale}_clean", backend)
    # The last bit of 16-bit luma depends on the precision of its sum, and the model may enlarge that.
    most = 4 if name.endswith("48le") else 1
    for size in SIZES:
        frame = _frame(name, *size)
        upscaled = model.upscaler(frame).frame
        assert upscaled.format is frame.format
        difference = np.abs(_rgb(upscaled) - _expected(model, frame))
        assert difference.max() <= most
        assert difference.mean() <= 0.5


@pytest.mark.parametrize(("one", "other"), [("rgb24", "bgr24"), ("rgb48le", "bgr48le")])
def test_bgr_is_rgb_in_the_other_order(backend: str, one: str, other: str) -> None:
    model, rgb = _load("esr_tr_x2", backend), _frame(one, 40, 30)
    swapped = _rgb(rgb)[:, :, ::-1].reshape(30, 120)
    bgr = Frame(pixel_format(other), 40, 30, (np.ascontiguousarray(swapped),))
    pictures = (_rgb(model.upscaler(frame).frame).astype(int) for frame in (rgb, bgr))
    assert np.abs(np.subtract(*pictures)).max() <= 1


@pytest.mark.parametrize("name", FORMATS)
def test_grey_stays_grey_and_is_the_luma(backend: str, name: str) -> None:
    model, fmt = _load("esr_tr_x2", backend), pixel_format(name)
    gray = noise_planes(pixel_format("gray" if fmt.depth == 8 else "gray16le"), 30, 20)[0]
    upscaled = _rgb(model.upscaler(Frame(fmt, 30, 20, (np.repeat(gray, 3, axis=1),))).frame).astype(int)
    assert (upscaled == upscaled[:, :, :1]).all()
    wide = gray.astype(np.uint16) * (65535 // ((1 << fmt.depth) - 1))
    luma = model.luma(16)(wide) * (((1 << fmt.depth) - 1) / 65535)
    assert np.abs(upscaled[:, :, 0] - luma).max() <= 1


def test_padded_and_read_only_rows(backend: str) -> None:
    model, fmt = _load("bicubic_x2", backend), pixel_format("rgb24")
    (wide,) = noise_planes(fmt, 50, 20)
    view = wide[:, 6:126]
    view.flags.writeable = False
    upscaled = model.upscaler(Frame(fmt, 40, 20, (view,))).frame
    whole = model.upscaler(Frame(fmt, 40, 20, (view.copy(),))).frame
    np.testing.assert_array_equal(upscaled.planes[0], whole.planes[0])


@pytest.mark.parametrize("name", FORMATS)
def test_the_result_lies_in_the_memory_of_the_caller(backend: str, name: str) -> None:
    memory: list[NDArray[Any]] = []

    def take(shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
        memory.append(np.empty(shape, dtype))
        return memory[-1]

    (plane,) = _load("bicubic_x2", backend).upscaler(_frame(name, 33, 18), take).frame.planes
    (buffer,) = memory
    assert np.shares_memory(plane, buffer)


def test_half_of_the_threads_make_the_same_picture(backend: str) -> None:
    model, frame = _load("esr_tr_x2", backend), _frame("bgr24", 70, 90)
    alone, shared = (model.upscaler(frame, concurrency=concurrency).frame.planes[0] for concurrency in (1, 2))
    np.testing.assert_array_equal(alone, shared)


def test_rgb_without_halide_needs_no_kernel_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fused, frame = _load("bicubic_x2", "auto"), _frame("rgb24", 40, 30)
    assert fused.rgb(8) is not None
    one = fused.upscaler(frame).frame.planes[0].astype(int)
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    plain = _load("bicubic_x2", "auto")
    assert plain.rgb(8) is None
    assert np.abs(plain.upscaler(frame).frame.planes[0] - one).max() <= 1


def test_gray_of_16_bits_is_upscaled_at_16_bits(backend: str) -> None:
    fmt: PixelFormat = pixel_format("gray16le")
    (plane,) = noise_planes(fmt, 33, 18)
    upscaled = _load("bicubic_x2", backend).upscaler(Frame(fmt, 33, 18, (plane,))).frame.planes[0]
    assert np.abs(upscaled - np.clip(bicubic_reference(plane, 2), 0, 65535)).max() <= 1
