"""The choice between backends, and what is told when none has a kernel."""

from __future__ import annotations

import subprocess
import sys

import pytest

from esr_upscale.backends import (
    BACKENDS,
    FUSED,
    UNFUSED,
    EngineSettings,
    Unsupported,
    choose_backends,
    first_kernel,
    halide,
)
from esr_upscale.errors import EngineError
from esr_upscale.models import load_weights, resolve

SPEC = resolve("esr_max_x2_k3_c1")


def test_backends_import_neither_library() -> None:
    code = "import sys, esr_upscale.engine; assert not {'halide', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_choice_prefers_fused_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_weights(SPEC)
    choice = choose_backends(SPEC, weights, EngineSettings())
    assert choice.backends == FUSED
    assert choice.fallback is None
    assert choose_backends(SPEC, weights, EngineSettings(backend="torch")).backends == UNFUSED
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    choice = choose_backends(SPEC, weights, EngineSettings())
    assert choice.backends == UNFUSED
    # The message of earlier versions.
    reasons = 'Halide is not installed (pip install "edge-sr[server]") and --kernels names no compiled ones'
    assert choice.fallback == reasons


def test_first_kernel_asks_in_turn() -> None:
    answers: dict[object, int | Unsupported] = dict(zip(BACKENDS, (Unsupported("a"), 2, 3), strict=True))
    assert first_kernel(BACKENDS, answers.__getitem__, "luma") == 2


def test_first_kernel_tells_every_reason() -> None:
    answers: dict[object, int | Unsupported] = {
        backend: Unsupported(name) for backend, name in zip(BACKENDS, "abc", strict=True)
    }
    with pytest.raises(EngineError, match="there is no kernel for luma: c and b and a"):
        first_kernel(BACKENDS, answers.__getitem__, "luma")
