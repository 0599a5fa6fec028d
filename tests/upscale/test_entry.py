"""Console scripts on an installation that lacks an extra."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("package", "script", "message"),
    [
        ("esr_workbench.entry", "esr", 'esr needs safetensors, which is not installed: pip install "edge-sr[train]"'),
        ("esr_server.entry", "esr_serve", 'esr-serve needs safetensors, which is not installed: pip install "edge-sr['),
    ],
)
def test_a_missing_library_is_a_sentence(package: str, script: str, message: str) -> None:
    """None in sys.modules makes an import fail as if the library were not there."""
    code = f"import sys; sys.modules['safetensors'] = None; from {package} import {script}; {script}()"
    result = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(message)


def test_a_fault_of_our_own_stays_a_traceback() -> None:
    code = "import sys; sys.modules['esr_workbench.cli'] = None; from esr_workbench.entry import esr; esr()"
    result = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=60, check=False)
    assert "ModuleNotFoundError" in result.stderr
