"""Where the figures of a measurement go."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path


def write_flat(figures: Mapping[str, float], path: Path | None) -> None:
    """Write one flat JSON object to `path`, making its directory; nothing without a path.

    JSON has no infinity and no NaN: they become null.
    """
    if path:
        finite = {key: value if math.isfinite(value) else None for key, value in figures.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(finite, indent=2, allow_nan=False) + "\n", encoding="utf-8")
