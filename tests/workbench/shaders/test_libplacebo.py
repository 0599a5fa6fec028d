"""User shaders of any origin through ffmpeg: what they make, and what is said when they cannot run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from esr_upscale.errors import EngineError, InvalidInputError
from esr_workbench.shaders import Shader, run_shader
from esr_workbench.shaders.libplacebo import check_libplacebo
from tests.support.libplacebo import needs_libplacebo

REPEATED = """//!HOOK LUMA
//!BIND HOOKED
//!WIDTH HOOKED.w 2 *
//!HEIGHT HOOKED.h 2 *
vec4 hook() { return HOOKED_tex((floor(HOOKED_pos * HOOKED_size) + 0.5) * HOOKED_pt); }
"""
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 15, 22), np.uint8)


@needs_libplacebo
def test_every_code_value_passes_unchanged() -> None:
    """Neither range nor transfer function is converted, and there is no dithering."""
    frames = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    frames = np.concatenate([frames, FRAMES[:, :, :16].repeat(2, 1)[:, :16]])
    actual = run_shader(Shader("repeated", REPEATED), frames, 2)
    np.testing.assert_array_equal(actual, frames.repeat(2, 1).repeat(2, 2))


@needs_libplacebo
def test_shader_that_does_not_compile_is_refused() -> None:
    broken = Shader("broken", REPEATED.replace("floor", "flour"))
    with pytest.raises(InvalidInputError, match=r"shader broken does not run: .*flour"):
        run_shader(broken, FRAMES, 2)


def test_shader_of_other_scale_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="shader a makes 44x30 of 22x15; at x3 it must be 66x45"):
        run_shader(Shader("a", REPEATED), FRAMES, 3)
    with pytest.raises(InvalidInputError, match="shader a: it has no line //!HOOK"):
        run_shader(Shader("a", "not a shader"), FRAMES, 2)


def test_unreadable_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"missing\.glsl cannot be read: No such file"):
        Shader.read(tmp_path / "missing.glsl")
    (tmp_path / "binary.glsl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="it is not text"):
        Shader.read(tmp_path / "binary.glsl")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "ffmpeg is not installed"),
        ("echo ' ... scale V->V'", "ffmpeg has no filter libplacebo"),
        (
            "case $* in *-filters*) echo ' ..C libplacebo V->V';; *) echo '[x @ 0x1] no Vulkan' >&2; exit 1;; esac",
            r"cannot run here \(no Vulkan\).*mesa-vulkan-drivers",
        ),
    ],
)
def test_what_is_missing_is_named(
    script: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script is not None:
        (tmp_path / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(EngineError, match=message):
        check_libplacebo()
