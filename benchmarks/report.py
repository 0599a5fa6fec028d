"""Where the figures of a measurement go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def write_flat(figures: Mapping[str, float], path: Path | None) -> None:
    """Write one flat JSON object to `path`, making its directory; nothing without a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
