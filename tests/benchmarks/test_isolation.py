"""The cost of codecs in processes: every figure is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="codecs have processes of their own on Linux only")
def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "isolation.json"
    command = [sys.executable, "-m", "benchmarks.isolation", "--frames", "3", "--rounds", "1", "--json", str(path)]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    figures = json.loads(path.read_text())
    works, ways, units = ("decode", "encode"), ("in_process", "isolated"), ("wall.ms", "cpu.ms", "open.ms")
    names = {f"{work}.{way}.{unit}" for work in works for way in ways for unit in units}
    assert set(figures) == names | {
        f"{work}.{last}" for work in works for last in ("isolated.private.mib", "added.cpu.ms")
    }
    assert all(figures[f"{work}.{way}.wall.ms"] > 0 for work in works for way in ways)
