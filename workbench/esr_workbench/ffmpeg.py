"""The program ffmpeg, for the filters that PyAV's own FFmpeg does not have."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from esr_upscale.errors import EngineError

FFMPEG = "ffmpeg"
TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of ffmpeg came to."""

    exit_code: int
    output: bytes
    log: str
    """Errors alone."""

    @property
    def reason(self) -> str:
        """Return the line of the log that says most."""
        # Sources of shaders are listed too, as in `[libplacebo @ 0x1234] [ 70] …`.
        lines = [re.sub(r"^(\[[^\]]* @ [^\]]*\] )+", "", line) for line in self.log.splitlines()]
        messages = [line for line in lines if line and not re.match(r"\[ *\d+\]", line)]
        errors = [line for line in messages if "error:" in line.lower()]
        return (errors or messages or ["it gave no reason"])[0].strip()


def check_filter(name: str) -> None:
    """Raise EngineError unless there is an ffmpeg with this filter."""
    program = shutil.which(FFMPEG)
    if program is None:
        raise EngineError("ffmpeg is not installed")
    if name not in _filters(program):
        raise EngineError(f"ffmpeg has no filter {name} here")


def run_ffmpeg(
    arguments: Sequence[str], data: bytes = b"", folder: Path | None = None, timeout_s: float = TIMEOUT_S
) -> Outcome:
    """Run ffmpeg in `folder` with `data` on its standard input.

    Raises:
        EngineError: it is not there, or it takes longer than `timeout_s`.
    """
    command = [FFMPEG, "-hide_banner", "-nostats", "-v", "error", *arguments]
    try:
        process = subprocess.run(command, input=data, capture_output=True, timeout=timeout_s, cwd=folder, check=False)
    except FileNotFoundError as error:
        raise EngineError("ffmpeg is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"ffmpeg did not end within {timeout_s:.0f} s") from error
    return Outcome(process.returncode, process.stdout, process.stderr.decode(errors="replace"))


@cache
def _filters(program: str) -> frozenset[str]:
    # Lines such as ` ..C libplacebo        V->V       Apply …`.
    process = subprocess.run([program, "-hide_banner", "-filters"], capture_output=True, text=True, check=False)
    return frozenset(re.findall(r"^ *\S+ +(\w+) +\S+->\S+", process.stdout, re.MULTILINE))
