"""Figures as JSON that every reader takes."""

from __future__ import annotations

import json
import math
from pathlib import Path

from benchmarks.report import write_flat


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.json"
    write_flat({"a.s": 1.5, "best_again.s": math.inf, "p99.ms": math.nan}, path)
    assert json.loads(path.read_text()) == {"a.s": 1.5, "best_again.s": None, "p99.ms": None}
    assert "Infinity" not in path.read_text()
