"""Importing published checkpoints: the same numbers come out, and nothing else gets in."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from esr_upscale.errors import InvalidInputError, UnknownModelError, WeightsError
from esr_upscale.models import Padding, list_models, load_card, load_weights, resolve
from esr_upscale.nets import build_module
from esr_workbench.cli import app
from esr_workbench.model_files.import_checkpoint import checkpoint_spec, import_checkpoint
from tests.support.pictures import random_weights

PAPER_IDS = [
    "eSR-MAX_s2_K5_C2", "eSR-TM_s3_K5_C4", "eSR-TR_s4_K3_C1", "eSR-CNN_s2_C2_D7_S3",
    "ESPCN_s3_D10_S15", "ESPCN_s2_D0_S3", "FSRCNN_s4_D19_S6_M1",
]  # fmt: skip
SPEC = resolve("eSR-CNN_s2_C1_D2_S3_zeros")


def _tensors(name: str) -> OrderedDict[str, Tensor]:
    return OrderedDict((name, torch.from_numpy(w)) for name, w in random_weights(resolve(name)).items())


def _save(content: object, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("paper_id", PAPER_IDS)
@pytest.mark.parametrize("padding", ["zeros", "edge"])
def test_round_trip(tmp_path: Path, paper_id: str, padding: Padding) -> None:
    file = _save(_tensors(paper_id), tmp_path / f"{paper_id}.model")
    spec = checkpoint_spec(file, None, padding)
    path = import_checkpoint(file, spec, "GPL-3.0-only", tmp_path / "out")
    assert path == tmp_path / "out" / f"{spec.canonical_id}.safetensors"
    assert spec.canonical_id.endswith("_zeros") == (padding == "zeros")
    assert (spec.paper_id, spec in list_models(path.parent)) == (paper_id, True)
    loaded = load_weights(spec, path.parent)
    assert loaded.keys() == random_weights(spec).keys()
    for name, values in random_weights(spec).items():
        np.testing.assert_array_equal(loaded[name], values)


def test_the_card(tmp_path: Path) -> None:
    file = _save(_tensors("eSR-TR_s2_K5_C2"), tmp_path / "eSR-TR_s2_K5_C2.model")
    spec = checkpoint_spec(file, None, "zeros")
    card = load_card(spec, import_checkpoint(file, spec, "GPL-3.0-only", tmp_path).parent)
    assert (card.model, card.padding, card.licence) == ("esr_tr_x2_k5_c2_zeros", "zeros", "GPL-3.0-only")
    assert "Imported" in card.recipe
    assert f"eSR-TR_s2_K5_C2.model (sha256 {hashlib.sha256(file.read_bytes()).hexdigest()})" in card.recipe
    assert (card.psnr, card.credits, card.seed) == ({}, (), None)


def test_what_a_module_saves(tmp_path: Path) -> None:
    """A state dict of a real module has more to it than its tensors: an order, and the layers' versions."""
    spec = resolve("fsrcnn_x3_zeros")
    state = build_module(spec).state_dict()
    path = import_checkpoint(_save(state, tmp_path / "any.model"), spec, "CC0-1.0", tmp_path)
    for name, values in load_weights(spec, path.parent).items():
        np.testing.assert_array_equal(values, state[name].numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in _tensors(SPEC.canonical_id).items()}
    path = import_checkpoint(_save(tensors, tmp_path / "any.model"), SPEC, "CC0-1.0", tmp_path)
    for name, values in load_weights(SPEC, path.parent).items():
        np.testing.assert_array_equal(values, tensors[name].float().numpy())


def test_the_older_file_format(tmp_path: Path) -> None:
    tensors = OrderedDict((name, nn.Parameter(t)) for name, t in _tensors(SPEC.canonical_id).items())
    file = _save(tensors, tmp_path / "any.model", _use_new_zipfile_serialization=False)
    path = import_checkpoint(file, SPEC, "CC0-1.0", tmp_path)
    for name, values in load_weights(SPEC, path.parent).items():
        np.testing.assert_array_equal(values, tensors[name].detach().numpy())


def test_shared_and_transposed_memory(tmp_path: Path) -> None:
    spec = resolve("esr_max_x2_k3_c1_zeros")
    whole = torch.arange(2 * 4 * 9, dtype=torch.float32).reshape(3, 3, 1, 8).permute(3, 2, 1, 0)[::2]
    path = import_checkpoint(_save({"filter.weight": whole}, tmp_path / "any.model"), spec, "CC0-1.0", tmp_path)
    np.testing.assert_array_equal(load_weights(spec, path.parent)["filter.weight"], whole.numpy())


NAN, LARGE = torch.full((2,), torch.nan), torch.full((2,), 1e300, dtype=torch.float64)


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"filter.0.bias": None}, ["not a checkpoint of eSR-CNN_s2_C1_D2_S3", "it lacks 'filter.0.bias' (2,)"]),
        ({"filter.4.bias": torch.zeros(8)}, ["it has 'filter.4.bias' (8,), which that model has not"]),
        ({"filter.2.bias": torch.zeros(4)}, ["'filter.2.bias' is (4,), it must be (3,)"]),
        ({"filter.0.bias": None, "bias": torch.zeros(())}, ["it lacks 'filter.0.bias'", "it has 'bias' ()"]),
        ({f"more.{i}": torch.zeros(1) for i in range(9)}, ["it has 'more.5' (1,)", "and 3 differences more"]),
        ({"filter.0.bias": NAN}, ["'filter.0.bias' has values that are infinite or not a number"]),
        ({"filter.0.bias": LARGE}, ["infinite or not a number in float32"]),
        ({"filter.0.bias": torch.zeros(2, dtype=torch.int64)}, ["torch.int64", "floating-point values are needed"]),
        ({"filter.0.bias": torch.zeros(2, dtype=torch.complex64)}, ["torch.complex64"]),
        ({"filter.0.bias": torch.zeros(2).to_sparse()}, ["torch.sparse_coo", "dense"]),
        ({"filter.0.bias": torch.zeros(2, device="meta")}, ["meta"]),
        ({"filter.0.bias": torch.zeros(1).expand(10**15)}, ["is (1000000000000000,), it must be (2,)"]),
        ({"filter.0.bias": 1.0}, ["'filter.0.bias' is a float; a state dict has tensors only"]),
        ({"state_dict": {}}, ["'state_dict' is a dict"]),
    ],
)
def test_tensors_that_do_not_fit(tmp_path: Path, change: dict[str, object], messages: list[str]) -> None:
    changed = {**_tensors(SPEC.canonical_id), **change}
    file = _save({name: value for name, value in changed.items() if value is not None}, tmp_path / "any.model")
    with pytest.raises(WeightsError) as error_info:
        import_checkpoint(file, SPEC, "CC0-1.0", tmp_path / "out")
    for message in ("any.model", *messages):
        assert message in str(error_info.value)
    assert not (tmp_path / "out").exists()


class Trap:
    """An object that makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_objects_are_not_loaded(tmp_path: Path, zipped: bool) -> None:
    trap = tmp_path / "sprung"
    content = {**_tensors(SPEC.canonical_id), "more": Trap(trap)}
    file = _save(content, tmp_path / "any.model", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        WeightsError, match=r"any\.model holds a pickled object that is no tensor, \S*mkdir, which could"
    ):
        import_checkpoint(file, SPEC, "CC0-1.0", tmp_path / "out")
    assert not trap.exists()
    torch.load(file, weights_only=False)
    assert trap.exists(), "the trap would not have sprung at all"


def _truncated() -> bytes:
    file = io.BytesIO()
    torch.save(_tensors(SPEC.canonical_id), file)
    return file.getvalue()[:-200]


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", bytes(300), pickle.dumps({"a": 1}), pickle.dumps([], 0), b"PK\x03\x04", _truncated()],
    ids=["empty", "text", "zeros", "pickle", "old pickle", "zip", "truncated"],
)
def test_no_checkpoint_at_all(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any.model"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"any\.model (cannot be read as a torch checkpoint|holds a )"):
        import_checkpoint(file, SPEC, "CC0-1.0", tmp_path / "out")


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2), None, 3])
def test_no_state_dict(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError, match=r"any\.model holds a \w+; a state dict is needed"):
        import_checkpoint(_save(content, tmp_path / "any.model"), SPEC, "CC0-1.0", tmp_path / "out")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.model", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read: "):
            import_checkpoint(path, SPEC, "CC0-1.0", tmp_path)


def test_weights_that_are_there_stay(tmp_path: Path) -> None:
    path = import_checkpoint(_save(_tensors(SPEC.paper_id), tmp_path / "a.model"), SPEC, "MIT", tmp_path)
    before = path.read_bytes()
    other = _save({name: tensor + 1 for name, tensor in _tensors(SPEC.paper_id).items()}, tmp_path / "b.model")
    command = ["import", str(other), "--name", SPEC.paper_id, "--out", str(tmp_path)]
    refusal = CliRunner().invoke(app, command)
    assert refusal.exit_code == 2
    assert f"{path} exists (and 1 more); --overwrite replaces" in refusal.stderr
    assert path.read_bytes() == before
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    assert path.read_bytes() != before


def test_a_fixed_filter_has_nothing_to_import(tmp_path: Path) -> None:
    spec = checkpoint_spec(tmp_path / "Bicubic_s2.model", None, "zeros")
    with pytest.raises(InvalidInputError, match="bicubic_x2 is a fixed filter"):
        import_checkpoint(tmp_path / "Bicubic_s2.model", spec, "CC0-1.0", tmp_path)


@pytest.mark.parametrize(
    ("file", "name", "padding", "expected"),
    [
        ("eSR-TR_s2_K5_C2.model", None, "zeros", "esr_tr_x2_k5_c2_zeros"),
        ("eSR-TR_s2_K5_C2.model", None, "edge", "esr_tr_x2_k5_c2"),
        ("eSR-TR_s2_K5_C2.model", "esr_tm_x3", "zeros", "esr_tm_x3_k5_c4_zeros"),
        ("best.pt", "esr_tr_x2_zeros", "zeros", "esr_tr_x2_k5_c2_zeros"),
    ],
)
def test_which_model_it_is(file: str, name: str | None, padding: Padding, expected: str) -> None:
    assert checkpoint_spec(Path(file), name, padding).canonical_id == expected


def test_names_that_say_nothing() -> None:
    with pytest.raises(InvalidInputError, match=r"best\.pt is not named after a model.*--name ID"):
        checkpoint_spec(Path("best.pt"), None, "zeros")
    with pytest.raises(UnknownModelError, match="did you mean esr_tr_x2"):
        checkpoint_spec(Path("best.pt"), "esr_tr_x22", "zeros")
    with pytest.raises(InvalidInputError, match="leave out --padding edge"):
        checkpoint_spec(Path("best.pt"), "esr_tr_x2_zeros", "edge")
