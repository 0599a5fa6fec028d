"""mpv user shaders: networks written as GLSL, and shaders of any origin run through FFmpeg's libplacebo filter.

A family's file here has its name in `models/` and ends in `FAMILIES`, a tuple, which `shader_families` collects.
"""

from __future__ import annotations

from esr_workbench.shaders.libplacebo import Shader, check_libplacebo, run_shader
from esr_workbench.shaders.mpv import export_mpv, write_shader

__all__ = ["Shader", "check_libplacebo", "export_mpv", "run_shader", "write_shader"]
