"""Whether user shaders can be run on this machine."""

from __future__ import annotations

from functools import cache

import pytest

from esr_upscale.errors import EngineError
from esr_workbench.shaders.libplacebo import check_libplacebo


@cache
def _absence() -> str:
    try:
        check_libplacebo()
    except EngineError as error:
        return str(error)
    return ""


needs_libplacebo = pytest.mark.skipif(bool(_absence()), reason=_absence() or "libplacebo runs here")
"""Skips with what is missing: ffmpeg, its filter, or Vulkan."""
