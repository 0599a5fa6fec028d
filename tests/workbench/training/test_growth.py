"""Weights that another network of the family leaves to start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from esr_upscale import nets
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, load_card, load_weights, resolve, save_weights
from esr_workbench.training.growth import grow_weights, nearest_start
from tests.support.pictures import synthetic_luma

SMALL = "esr_stack_x2_c4_l5"


def _picture(spec: ModelSpec, weights: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    small = torch.from_numpy(synthetic_luma(24, 32).astype(np.float32) / 255)[None, None]
    with torch.no_grad():
        picture: NDArray[np.float32] = nets.build_module(spec, weights)(small)[0, 0].numpy()
    return picture


def test_more_layers_make_the_same_picture() -> None:
    of, spec = resolve(SMALL), resolve("esr_stack_x2_c4_l8")
    weights = load_weights(of)
    difference = _picture(spec, grow_weights(weights, of, spec)) - _picture(of, weights)
    assert np.abs(difference).max() < 1e-5


def test_another_scale_adds_the_same_detail() -> None:
    of, spec = resolve(SMALL), resolve("esr_stack_x4_c4_l5")
    weights = load_weights(of)
    weights_x4 = grow_weights(weights, of, spec)
    at_zero = {name: np.zeros_like(tensor) for name, tensor in weights.items()}
    at_zero_x4 = {name: np.zeros_like(tensor) for name, tensor in weights_x4.items()}
    detail = _picture(of, weights) - _picture(of, at_zero)
    detail_x4 = _picture(spec, weights_x4) - _picture(spec, at_zero_x4)
    # Four phases of x4 lie around each of x2, and a bilinear function in their middle is their mean.
    blocks = detail_x4.reshape(detail.shape[0], 2, detail.shape[1], 2).mean((1, 3))
    assert np.abs(blocks - detail).max() < 1e-5
    assert np.abs(detail).max() > 0.01


def test_scale_3_is_grown_from_scale_2() -> None:
    of, spec = resolve(SMALL), resolve("esr_stack_x3_c4_l6")
    assert {
        name: tensor.shape for name, tensor in grow_weights(load_weights(of), of, spec).items()
    } == spec.tensor_shapes


def test_the_nearest_network_is_the_start(tmp_path: Path) -> None:
    target = resolve("esr_stack_x3_c4_l6")
    for name in ("esr_stack_x2_c4_l6", "esr_stack_x2_c4_l5", "esr_stack_x3_c4_l3", "esr_stack_x3_c8_l6"):
        spec = resolve(name)
        save_weights(spec, _random(spec), load_card(resolve(SMALL)), tmp_path)
    assert nearest_start(target, tmp_path).canonical_id == "esr_stack_x3_c4_l3"
    save_weights(target, _random(target), load_card(resolve(SMALL)), tmp_path)
    assert nearest_start(target, tmp_path) == target


def test_weights_for_clean_sources_are_a_start(tmp_path: Path) -> None:
    spec, clean = resolve("espcn_x2"), resolve("espcn_x2_clean")
    weights = load_weights(spec)
    save_weights(clean, weights, load_card(spec), tmp_path)
    assert nearest_start(spec, tmp_path) == clean
    assert all(np.array_equal(tensor, weights[name]) for name, tensor in grow_weights(weights, clean, spec).items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("esr_stack_x2_c5_l5", "has no weights of esr_stack_x2_c5_l5, nor of an eSR-Stack with C5 and at most L5"),
        ("espcn_x2_d9_s9", "has no weights of espcn_x2_d9_s9 to start from"),
    ],
)
def test_no_network_to_start_from(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        nearest_start(resolve(name), tmp_path)


def _random(spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in spec.tensor_shapes.items()}
