"""Weights files and cards: what is shipped, and strict loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from esr_upscale.errors import WeightsError
from esr_upscale.models import ModelCard, ModelSpec, list_models, load_card, load_weights, resolve, save_weights

SPEC = resolve("esr_tr_x2_k3_c2")
GOOD = np.zeros((24, 1, 3, 3), np.float32)


def _card(spec: ModelSpec) -> ModelCard:
    return ModelCard(spec.canonical_id, "edge", "none", "none", (), "CC0-1.0", {"s": 1.5}, "2026-01-01", {}, 7)


def test_what_is_shipped() -> None:
    names = {spec.canonical_id for spec in list_models()}
    assert {"bicubic_x2", "bicubic_x3", "bicubic_x4"} <= names
    assert {"esr_tr_x2_k5_c2", "esr_tr_x3_k5_c2", "esr_tr_x4_k5_c2"} <= names
    assert [spec.canonical_id for spec in list_models()] == sorted(names)


def test_weights_for_any_source_and_for_clean_ones() -> None:
    """The paper's networks have both, but for the large ones, and they are not the same."""
    papers = [spec for spec in list_models() if spec.tensor_shapes and spec.family != "esr_stack"]
    clean = {replace(spec, clean=False) for spec in papers if spec.clean}
    blind = {spec for spec in papers if not spec.clean}
    assert len(clean) == 42
    assert {spec.canonical_id.split("_x")[1][2:] for spec in clean - blind} == {"k7_c8", "c4_d9_s9"}
    assert blind < clean
    for spec in blind:
        for name, tensor in load_weights(spec).items():
            assert not np.array_equal(tensor, load_weights(replace(spec, clean=True))[name])


@pytest.mark.parametrize("spec", list_models(), ids=lambda spec: spec.canonical_id)
def test_shipped_weights_and_cards(spec: ModelSpec) -> None:
    tensors = load_weights(spec)
    assert {name: tensor.shape for name, tensor in tensors.items()} == spec.tensor_shapes
    assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in tensors.values())
    card = load_card(spec)
    assert (card.model, card.padding, card.licence) == (spec.canonical_id, spec.padding, "Apache-2.0")
    assert card.psnr.keys() == {"Set5", "Set14", "BSD100"}
    assert bool(card.credits) == bool(spec.tensor_shapes)


def test_round_trip(tmp_path: Path) -> None:
    path = save_weights(SPEC, {"filter.weight": GOOD + 3}, _card(SPEC), tmp_path / "new")
    assert path.name == "esr_tr_x2_k3_c2.safetensors"
    assert path.stat().st_mode == path.with_suffix(".json").stat().st_mode
    assert np.array_equal(load_weights(SPEC, path.parent)["filter.weight"], GOOD + 3)
    assert load_card(SPEC, path.parent) == _card(SPEC)
    assert SPEC in list_models(path.parent)
    assert SPEC not in list_models()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "lacks tensor 'filter.weight'"),
        ({"filter.weight": GOOD, "filter.bias": GOOD}, "has tensor 'filter.bias'"),
        ({"filter.weight": GOOD[:23]}, r"tensor 'filter.weight' is float32 \(23, 1, 3, 3\)"),
        ({"filter.weight": GOOD.astype(np.float16)}, "is float16"),
    ],
)
def test_strict_loading(tmp_path: Path, tensors: dict[str, NDArray[np.float32]], message: str) -> None:
    save_file(tensors, tmp_path / "esr_tr_x2_k3_c2.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_weights(SPEC, tmp_path)
    with pytest.raises(WeightsError, match="the new weights"):
        save_weights(SPEC, tensors, _card(SPEC), tmp_path)


def test_no_weights() -> None:
    with pytest.raises(WeightsError, match=r"no esr_tr_x2_k3_c2\.safetensors.*esr train"):
        load_weights(SPEC)
    assert load_weights(resolve("bicubic_x2")) == {}


def test_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "esr_tr_x2_k3_c2.safetensors").write_bytes(b"not a weights file")
    (tmp_path / "esr_tr_x2_k3_c2.json").write_text("{}")
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        load_weights(SPEC, tmp_path)
    with pytest.raises(WeightsError, match="is not a model card"):
        load_card(SPEC, tmp_path)


def test_directories_are_checked(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is not a directory"):
        list_models(tmp_path / "missing")
    save_file({"filter.weight": GOOD}, tmp_path / "best.safetensors")
    with pytest.raises(WeightsError, match=r"best\.safetensors is not named after a model"):
        list_models(tmp_path)
