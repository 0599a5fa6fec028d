"""Which engine runs a model: fused where it can, torch where it must, and never silently."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from esr_server.models.pool import ModelPool
from esr_upscale.backends import halide
from esr_upscale.backends.halide import kernel as fused
from esr_upscale.backends.halide import registry
from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.engine import EngineSettings, LoadedModel, backend_name
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.models import Source, WeightNodes, load_weights, resolve
from tests.support.pictures import synthetic_luma

SPEC = resolve("esr_max_x2_k3_c1")


class _NoObserver:
    def model_loaded(self, model: LoadedModel, load_s: float) -> None:
        """Nothing to do."""

    def model_unloaded(self, model: LoadedModel) -> None: ...


def _load(settings: EngineSettings) -> LoadedModel:
    return LoadedModel(SPEC, load_weights(SPEC), settings)


@pytest.mark.parametrize(("backend", "runs"), [("auto", "fused"), ("fused", "fused"), ("torch", "torch-cpu")])
def test_the_engine_that_was_asked_for(backend: str, runs: str) -> None:
    settings = EngineSettings(backend=backend)
    model = _load(settings)
    model.warm_up()
    assert model.fallback is None
    backends = {model.backend, model.luma(10).backend, model.chroma(8, Siting.COSITED, Siting.CENTRED).backend}
    assert backends == {runs}
    assert backend_name(SPEC, load_weights(SPEC), settings) == runs


def test_torch_takes_over_where_halide_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    pool = ModelPool(EngineSettings(), "esr_max_x2_k3_c1", _NoObserver())
    with caplog.at_level(logging.WARNING):
        assert pool.get("").backend == pool.get("").backend == "torch-cpu"
    (message,) = caplog.messages
    assert "esr_max_x2_k3_c1 runs on torch-cpu: Halide is not installed" in message
    entry = next(entry for entry in pool.entries() if entry.spec == SPEC)
    assert (entry.backend, entry.loaded) == ("torch-cpu", True)
    with pytest.raises(EngineError, match="no fused kernel here: Halide is not installed"):
        _load(EngineSettings(backend="fused"))


def test_a_family_without_a_fused_kernel_runs_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "halide_families", dict)
    model = _load(EngineSettings())
    reasons = "eSR-MAX has no fused kernel and --kernels names no compiled ones"
    assert (model.backend, model.fallback) == ("torch-cpu", reasons)
    assert backend_name(SPEC, load_weights(SPEC), EngineSettings()) == "torch-cpu"


def test_listing_models_compiles_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a kernel was compiled to list it")

    monkeypatch.setattr(fused, "plan", refuse)
    pool = ModelPool(EngineSettings(), "esr_tr_x2", _NoObserver())
    assert {entry.backend for entry in pool.entries()} == {"fused"}


def test_neither_halide_nor_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match=r'pip install "edge-sr\[torch\]"'):
        _load(EngineSettings())


def test_a_fused_model_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from esr_upscale.engine import EngineSettings, LoadedModel\n"
        "from esr_upscale.models import load_weights, resolve\n"
        "spec = resolve('esr_max_x2_k3_c1')\n"
        "LoadedModel(spec, load_weights(spec), EngineSettings(backend='fused')).warm_up()\n"
        "assert 'halide' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_kernels_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"has no kernels\.json; `esr compile --out"):
        _load(EngineSettings(kernels=tmp_path))


def test_engines_agree() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (50, 70)).astype(np.uint8)
    fused, torch = (_load(EngineSettings(backend=backend)).luma(8)(plane) for backend in ("fused", "torch"))
    difference = np.abs(fused.astype(int) - torch.astype(int))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_weights_for_a_source(backend: str) -> None:
    spec, plane = resolve("esr_max_x2_k3_c1"), synthetic_luma(40, 50)
    gains = {Source(0.0): 0.9, Source(20.0): 0.5, Source(20.0, "area"): 0.4}
    weights = load_weights(spec)
    nodes = WeightNodes(
        {of: {name: tensor * np.float32(gain) for name, tensor in weights.items()} for of, gain in gains.items()}
    )
    model = LoadedModel(spec, load_weights(spec), EngineSettings(backend=backend), nodes=nodes)
    assert model.has_nodes
    assert np.array_equal(model.luma(8)(plane), torch_kernel.reference(spec, load_weights(spec), 8)(plane))
    served = {
        Source(0.4, "area"): Source(0.0),
        Source(19.5): Source(20.0),
        Source(40.0, "area"): Source(20.0, "area"),
    }
    for source, node in served.items():
        assert model.node(source) == node
        expected = torch_kernel.reference(spec, nodes.at(node), 8)(plane)
        assert np.abs(model.luma(8, source)(plane).astype(int) - expected).max() <= 1
    assert model.luma(8, Source(20.0)) is model.luma(8, Source(33.0))  # one kernel for a node
    assert model.luma(8, Source(9.0)) is model.luma(8)
    frame = Frame(pixel_format("gray"), 50, 40, (plane,))
    assert model.upscaler(frame, source=Source(19.5, "area")).source == Source(20.0, "area")
    assert model.upscaler(frame, source=Source(9.0)).source is None
    assert model.upscaler(frame).source is None


def test_compiled_weights_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    weights = load_weights(SPEC)
    model = LoadedModel(SPEC, weights, EngineSettings(), nodes=WeightNodes({Source(20.0): weights}))
    assert not model.has_nodes
    assert model.node(Source(20.0)) is None
