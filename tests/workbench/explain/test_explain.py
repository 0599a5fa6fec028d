"""The arrays of the interpretation figures against what the networks themselves compute, and the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from esr_upscale.filters import keys_cubic
from esr_upscale.models import ModelSpec, resolve
from esr_upscale.nets import build_module
from esr_workbench.cli import app
from esr_workbench.explain import draw_figures, synthetic_picture
from esr_workbench.explain.arrays import (
    both_forms,
    channels,
    filter_groups,
    frequency_response,
    upscaling_filter,
)

NAMES = ["esr_max_x2_k3_c3", "esr_tm_x3_k3_c4", "esr_tr_x2_k5_c2", "esr_tr_x2_k3_c2_zeros"]


def _random_weights(spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(4)
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in spec.tensor_shapes.items()}


@pytest.fixture(scope="module")
def picture() -> NDArray[np.float64]:
    return synthetic_picture(24)


def _filtered(taps: NDArray[Any], picture: NDArray[Any], scale: int) -> NDArray[np.float64]:
    """Zeros inserted, then filtered, as a sum of shifted filters: one for each input pixel."""
    height, width = picture.shape
    size = len(taps)
    out = np.zeros((scale * height + size, scale * width + size))
    for y in range(height):
        for x in range(width):
            out[scale * y : scale * y + size, scale * x : scale * x + size] += picture[y, x] * taps
    cut = size // 2 - scale // 2
    return out[cut : cut + scale * height, cut : cut + scale * width]


@pytest.mark.parametrize("name", NAMES)
def test_channels(name: str, picture: NDArray[np.float64]) -> None:
    spec = resolve(name)
    weights = _random_weights(spec)
    result = channels(spec, weights, picture)
    assert result.weights.shape == (spec["C"], spec.scale * 24, spec.scale * 24)
    np.testing.assert_allclose(result.weights.sum(0), 1, atol=1e-12)
    np.testing.assert_array_equal(result.winner, result.weights.argmax(0))
    x = torch.from_numpy(picture)[None, None]
    expected = build_module(spec, weights).double()(x)[0, 0].detach().numpy()
    np.testing.assert_allclose(result.picture, expected, atol=1e-9)


@pytest.mark.parametrize("name", ["esr_max_x3_k3_c3", "esr_tm_x2_k3_c4", "esr_tr_x4_k5_c2"])
def test_values_times_their_filters_are_the_picture(name: str, picture: NDArray[np.float64]) -> None:
    spec = resolve(name)
    weights = _random_weights(spec)
    values = next(iter(filter_groups(spec, weights).values()))
    planes = np.stack([_filtered(upscaling_filter(phases), picture, spec.scale) for phases in values])
    result = channels(spec, weights, picture)
    inner = slice(spec.scale * spec.radius, -spec.scale * spec.radius)
    mixed = (result.weights * planes).sum(0)
    np.testing.assert_allclose(mixed[inner, inner], result.picture[inner, inner], atol=1e-9)
    if spec.family == "esr_max":
        np.testing.assert_array_equal(result.winner[inner, inner], planes.argmax(0)[inner, inner])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_the_stretched_cubic(scale: int) -> None:
    taps = upscaling_filter(filter_groups(resolve(f"bicubic_x{scale}"), {})["filter"][0])
    centre = (len(taps) - 1) / 2
    line = [keys_cubic((i - centre) / scale) for i in range(len(taps))]
    np.testing.assert_allclose(taps, np.outer(line, line), atol=1e-7)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_both_forms_are_equal(scale: int, picture: NDArray[np.float64]) -> None:
    forms = both_forms(scale, picture)
    assert forms.difference < 1e-6
    assert forms.comb.sum() == pytest.approx(picture.sum())
    assert forms.phases.shape == (scale**2, 24, 24)
    np.testing.assert_array_equal(forms.phases[1], forms.shuffled[::scale, 1::scale])


def test_frequency_response_of_known_filters() -> None:
    impulse = frequency_response(np.ones((1, 1)), 16)
    np.testing.assert_allclose(impulse, 1)
    frequency = (np.arange(16) - 8) / 16
    box = 2 * np.abs(np.cos(np.pi * frequency))  # two equal taps
    np.testing.assert_allclose(frequency_response(np.ones((2, 2)), 16), np.outer(box, box), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("bicubic_x2", ["phases", "filters", "frequency", "forms"]),
        ("esr_max_x2_k3_c3", ["phases", "filters", "frequency", "winners"]),
        ("esr_tm_x2_k3_c9", ["phases", "filters", "frequency", "attention"]),
    ],
)
def test_figures(name: str, figures: list[str], picture: NDArray[np.float64]) -> None:
    spec = resolve(name)
    drawings = draw_figures(spec, _random_weights(spec), picture)
    assert list(drawings) == figures
    for figure in drawings.values():
        assert spec.paper_id in figure.get_suptitle()
        figure.draw_without_rendering()


def test_explain_writes_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "p.png")
    command = ["explain", "eSR-TR_s2_K5_C2", "--picture", str(tmp_path / "p.png"), "--out", str(tmp_path / "figures")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert paths == [
        tmp_path / "figures" / f"esr_tr_x2_k5_c2_{f}.png" for f in ("phases", "filters", "frequency", "attention")
    ]
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300
