"""ONNX files against the torch modules that they are made from, in ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from esr_upscale.errors import EngineError, InvalidInputError
from esr_upscale.models import FAMILIES, ModelSpec, resolve
from esr_upscale.nets import build_module
from esr_workbench.model_files.onnx_file import OLDEST_OPSET, export_onnx
from tests.support.pictures import random_weights

# Every family, and every scale: what a scale changes in a network is its number of phases.
NAMES = [f"{family}_x{2 + index % 3}" for index, family in enumerate(FAMILIES)]
ZEROS = ["esr_tr_x2_k3_c3_zeros", "esr_cnn_x3_zeros", "espcn_x2_d0_s3_zeros", "fsrcnn_x4_zeros"]
SIZES = [(1, 1, 1, 1), (1, 1, 1, 9), (3, 1, 5, 1), (1, 1, 2, 2), (2, 1, 13, 17), (1, 1, 64, 49)]


def _export(spec: ModelSpec, path: Path, opset: int = OLDEST_OPSET) -> Path:
    return export_onnx(spec, random_weights(spec), "CC0-1.0", path, opset)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _assert_same(path: Path, spec: ModelSpec) -> None:
    session, module = _session(path), build_module(spec, random_weights(spec))
    for size in SIZES:
        picture = np.random.default_rng(7).random(size, np.float32)
        actual: NDArray[np.float32] = session.run(["upscaled"], {"luma": picture})[0]
        with torch.inference_mode():
            expected = module(torch.from_numpy(picture)).numpy()
        assert (actual.shape, actual.dtype) == (expected.shape, np.dtype(np.float32))
        # Random networks leave [0, 1] far behind, and float32 has as many digits there as in it.
        assert np.abs(actual - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES + ZEROS)
def test_onnx_runtime_agrees_with_torch(name: str, tmp_path: Path) -> None:
    spec = resolve(name)
    path = _export(spec, tmp_path / "new" / "m.onnx")
    assert list(path.parent.iterdir()) == [path], "the weights are in the file itself"
    _assert_same(path, spec)


def _sizes(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("name", ["esr_tr_x3", "fsrcnn_x2_zeros"])
def test_what_the_file_says(name: str, tmp_path: Path) -> None:
    spec = resolve(name)
    model = onnx.load(_export(spec, tmp_path / "m.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert _sizes(model.graph.input[0]) == ["batch", 1, "height", "width"]
    assert _sizes(model.graph.output[0]) == ["batch", 1, f"{spec.scale}*height", f"{spec.scale}*width"]
    assert [v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)] == [1, 1]  # float32
    facts = {p.key: p.value for p in model.metadata_props}
    assert (facts["model"], facts["paper_id"], facts["licence"]) == (spec.canonical_id, spec.paper_id, "CC0-1.0")
    assert (facts["scale"], facts["padding"]) == (str(spec.scale), spec.padding)
    assert facts["input"].startswith("luma: float32 (N, 1, H, W)")
    assert "not clipped" in facts["output"]
    assert spec.paper_id in model.doc_string
    assert ("edge" in model.doc_string) == (spec.padding == "edge")
    assert ("zeros" in model.doc_string) == (spec.padding == "zeros")


def test_no_place_of_this_machine_is_in_the_file(tmp_path: Path) -> None:
    content = _export(resolve("esr_tm_x2"), tmp_path / "m.onnx").read_bytes()
    for trace in (b".py", str(Path(__file__).parents[3]).encode(), sys.prefix.encode()):
        assert trace not in content


@pytest.mark.parametrize(("name", "opset"), [("esr_tr_x2", 19), ("fsrcnn_x3", 21), ("esr_tr_x2", 23)])
def test_later_opsets(name: str, opset: int, tmp_path: Path) -> None:
    spec = resolve(name)
    path = _export(spec, tmp_path / "m.onnx", opset)
    assert [o.version for o in onnx.load(path).opset_import] == [opset]
    _assert_same(path, spec)


@pytest.mark.parametrize(("opset", "message"), [(17, "too old"), (99, "opset 99 cannot be written here")])
def test_impossible_opsets(opset: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        _export(resolve("bicubic_x2"), tmp_path / "m.onnx", opset)
    assert not (tmp_path / "m.onnx").exists()


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written: Is a directory"):
        _export(resolve("bicubic_x2"), tmp_path)


@pytest.mark.parametrize("library", ["onnx", "onnxscript"])
def test_a_missing_library_is_named(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(EngineError, match=rf'{library} is not installed.*pip install "edge-sr\[onnx\]"'):
        _export(resolve("bicubic_x2"), tmp_path / "m.onnx")
