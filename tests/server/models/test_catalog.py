"""Names of models: which are taken, which files are read, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from esr_server.models.catalog import Catalog, split_models
from esr_upscale.errors import InvalidInputError, UnknownModelError, UpscaleError, WeightsError
from esr_upscale.models import resolve
from tests.support.pictures import random_weights

SPEC = resolve("esr_tr_x2_k3_c2")


def _write(path: Path, model: str | None = SPEC.canonical_id) -> Path:
    save_file(random_weights(SPEC), path, {"model": model} if model else None)
    return path


def test_values_of_model_are_names_and_files() -> None:
    names, files = split_models(["esr_tr_x2", "mine=a/b.safetensors", "mine"])
    assert names == ("esr_tr_x2", "mine", "mine")
    assert files == {"mine": Path("a/b.safetensors")}


@pytest.mark.parametrize("values", [["mine="], ["=a.safetensors"], ["mine=a", "mine=b"]])
def test_values_of_model_that_cannot_be(values: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="--model"):
        split_models(values)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a b", "letters, digits"),
        ("é", "letters, digits"),
        ("x" * 65, "1 to 64"),
        ("mine.safetensors", "without .safetensors"),
        ("auto", "already"),
        ("AUTO_x3", "already"),
        ("esr_tr_x2", "already"),
        ("ESR_TR_x2", "already"),
        ("esr_tr_x2_k5_c2", "already"),
        ("eSR-TR_s2_K5_C2", "already"),
        ("bicubic_x2", "already"),
        ("esr_max_x2_k5_c1", "the id of another network"),
    ],
)
def test_names_that_cannot_be_given(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Catalog({name: _write(tmp_path / "w.safetensors")})


def test_a_model_is_found_by_its_own_name_only(tmp_path: Path) -> None:
    catalog = Catalog({"mine": _write(tmp_path / "w.safetensors"), SPEC.canonical_id: tmp_path / "w.safetensors"})
    assert catalog.find("mine").spec == catalog.find(SPEC.canonical_id).spec == SPEC
    assert catalog.find("esr_tr_x2").name == "esr_tr_x2_k5_c2"
    with pytest.raises(UnknownModelError, match="did you mean mine"):
        catalog.find("mines")


def test_two_models_have_two_names(tmp_path: Path) -> None:
    files = {"mine": _write(tmp_path / "a.safetensors"), "Mine": _write(tmp_path / "b.safetensors")}
    with pytest.raises(InvalidInputError, match="other own weights"):
        Catalog(files)


def test_a_folder_leaves_out_what_has_a_name(tmp_path: Path) -> None:
    """Even if the stem could be no name: `esr train` writes files under canonical ids."""
    save_file(random_weights(resolve("esr_tr_x2")), tmp_path / "esr_tr_x2_k5_c2.safetensors")
    _write(tmp_path / "b.safetensors")
    with pytest.raises(InvalidInputError, match=r"--model NAME=esr_tr_x2_k5_c2\.safetensors"):
        Catalog(folder=tmp_path)
    catalog = Catalog({"mine": tmp_path / "esr_tr_x2_k5_c2.safetensors"}, tmp_path)
    assert [source.name for source in catalog.sources() if source.path] == ["b", "mine"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("missing", "there is no such file"),
        ("folder", "there is no such file"),
        ("text", "cannot be read as safetensors"),
        ("empty", "cannot be read as safetensors"),
        ("tensors", "has tensor 'filter.bias'"),
        ("half", "is float16"),
        ("infinite", "infinite"),
        ("family", "says 'esr_new_x2'. Known families are"),
        ("fixed", "says 'bicubic_x2'"),
        ("nameless", "says 'w'"),
        ("card", "the card of mine=.* is not a model card"),
    ],
)
def test_files_that_cannot_be_served(tmp_path: Path, content: str, message: str) -> None:
    path, good = tmp_path / "w.safetensors", random_weights(SPEC)
    says = {"model": SPEC.canonical_id}
    match content:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("weights")
        case "empty":
            path.touch()
        case "tensors":
            save_file({**good, "filter.bias": np.zeros(3, np.float32)}, path, says)
        case "half":
            save_file({name: tensor.astype(np.float16) for name, tensor in good.items()}, path, says)
        case "infinite":
            save_file({name: tensor * np.float32("inf") for name, tensor in good.items()}, path, says)
        case "family" | "fixed" | "nameless":
            _write(path, {"family": "esr_new_x2", "fixed": "bicubic_x2", "nameless": None}[content])
        case "card":
            _write(path).with_suffix(".json").write_text("{}")
    with pytest.raises(WeightsError, match=message):
        Catalog({"mine": path})


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UpscaleError, match="is not a folder"):
        Catalog(folder=tmp_path / "nothing")
