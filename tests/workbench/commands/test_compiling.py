"""`esr compile`: what it writes, and what it says when it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esr_upscale.backends.aot.library import CompiledKernels
from esr_upscale.backends.aot.manifest import LIBRARY, read_manifest
from esr_upscale.models import load_weights, resolve
from esr_upscale.plane_kernel import digest
from esr_workbench.cli import app
from esr_workbench.commands import compiling


@pytest.mark.skipif(
    shutil.which("x86_64-linux-gnu-gcc") is None, reason="there is no x86_64-linux-gnu-gcc to link with"
)
def test_a_library_and_its_manifest(tmp_path: Path) -> None:
    command = [
        "compile",
        "--model",
        "esr_max_x3_k3_c1",
        "--target",
        "x86-64-linux",
        "--depth",
        "8",
        "-o",
        str(tmp_path),
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / LIBRARY).is_file()
    manifest = read_manifest(tmp_path)
    assert manifest.target == "x86-64-linux"
    assert manifest.functions[0].model == "esr_max_x3_k3_c1"
    assert {f.layout.scale for f in manifest.functions} == {3}
    assert manifest.functions[0].weights == digest(load_weights(resolve("esr_max_x3_k3_c1")))
    assert CompiledKernels(tmp_path, 1).plan(resolve("esr_max_x2"), load_weights(resolve("esr_max_x2")), 8) is None


def test_what_cannot_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options, says in (
        (["--target", "z80"], "choose one of arm-64-linux"),
        (["--model", "nothing_x2"], "no model is named"),
        (["--cc", "no-such-compiler"], "--cc names another"),
    ):
        result = CliRunner().invoke(app, ["compile", "-o", str(tmp_path / "out"), *options])
        assert result.exit_code == 2
        assert says in " ".join(result.output.split())
        assert not (tmp_path / "out").exists()
    monkeypatch.setattr(compiling, "is_halide_installed", lambda: False)
    result = CliRunner().invoke(app, ["compile", "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert "Halide" in result.output
