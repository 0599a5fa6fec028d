"""User shaders run through FFmpeg's libplacebo filter, on a GPU or on a software Vulkan such as Mesa's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from esr_upscale.errors import EngineError, InvalidInputError
from esr_upscale.shaders.sizes import output_size

FFMPEG = "ffmpeg"
TIMEOUT_S = 3600.0
_NAME = "shader.glsl"
_PROBE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Shader:
    """The text of a user shader file."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Shader:
        """Read a file; it is called after its name without the suffix.

        Raises:
            InvalidInputError: it cannot be read.
        """
        try:
            return cls(path.stem, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidInputError(f"{path} cannot be read: {reason}") from error

    def check_scale(self, width: int, height: int, scale: int) -> None:
        """Raise InvalidInputError unless it makes `scale` times as many pixels of a picture on each axis."""
        target = (scale * width, scale * height)
        try:
            found = output_size(self.text, (width, height), target)
        except InvalidInputError as error:
            raise InvalidInputError(f"shader {self.name}: {error}") from error
        if found != target:
            raise InvalidInputError(
                f"shader {self.name} makes {found[0]}x{found[1]} of {width}x{height}; at x{scale} it must be "
                f"{target[0]}x{target[1]}"
            )


def check_libplacebo() -> None:
    """Raise EngineError when there is no ffmpeg with the filter libplacebo, or no Vulkan device for it."""
    if shutil.which(FFMPEG) is None:
        raise EngineError("there is no ffmpeg here, which runs shaders")
    filters = subprocess.run([FFMPEG, "-hide_banner", "-filters"], capture_output=True, text=True, check=False).stdout
    if not re.search(r"\blibplacebo\b", filters):
        raise EngineError("ffmpeg has no filter libplacebo here, which runs shaders")
    source = ["-f", "lavfi", "-i", "color=size=16x16:rate=1", "-frames:v", "1"]
    try:
        done = _run([*source, "-vf", _graph(16, 16, shader=False), "-f", "null", "-"], b"", _PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise EngineError("ffmpeg's filter libplacebo does not answer") from None
    if done.returncode:
        raise EngineError(
            f"ffmpeg's filter libplacebo cannot run here ({_reason(done.stderr)}); without a GPU it needs a software "
            "Vulkan, on Debian mesa-vulkan-drivers"
        )


def run_shader(shader: Shader, frames: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return luma frames (N, H, W) as the shader makes them: (N, s·H, s·W), rounded by libplacebo without dithering.

    Raises:
        InvalidInputError: the shader makes another size, or it does not compile.
        EngineError: ffmpeg failed.
    """
    count, height, width = frames.shape
    shader.check_scale(width, height, scale)
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-video_size", f"{width}x{height}", "-i", "-"]
    graph = _graph(scale * width, scale * height, shader=True)
    output = ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    with TemporaryDirectory() as folder:
        # In the filter's own language a path may need escapes, so the file gets a name of ours.
        (Path(folder) / _NAME).write_text(shader.text, encoding="utf-8")
        done = _run([*source, "-vf", graph, *output], frames.tobytes(), TIMEOUT_S, folder)
    # A shader that does not compile is an error in the log; the frames come without it.
    if "libplacebo" in done.stderr:
        raise InvalidInputError(f"shader {shader.name} does not run: {_reason(done.stderr)}")
    size = count * scale * height * scale * width
    if done.returncode or len(done.stdout) != size:
        raise EngineError(f"ffmpeg failed on shader {shader.name}: {_reason(done.stderr)}")
    return np.frombuffer(done.stdout, np.uint8).reshape(count, scale * height, scale * width)


@dataclass(frozen=True, slots=True)
class _Done:
    returncode: int
    stdout: bytes
    stderr: str


def _run(arguments: Sequence[str], stdin: bytes, timeout_s: float, folder: str | None = None) -> _Done:
    command = [FFMPEG, "-hide_banner", "-nostats", "-v", "error", "-init_hw_device", "vulkan", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, cwd=folder, check=False)
    return _Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def _graph(width: int, height: int, *, shader: bool) -> str:
    # Full range in and out: nothing is stretched or cut, and a shader on luma sees code values / 255 all the same.
    path = f":custom_shader_path={_NAME}" if shader else ""
    filters = f"libplacebo=w={width}:h={height}:range=full:dithering=none{path}"
    return f"format=gray,setparams=range=full,hwupload,{filters},hwdownload,format=gray"


def _reason(stderr: str) -> str:
    # Lines such as `[libplacebo @ 0x1234] [ 70] …` list the source.
    lines = [re.sub(r"^(\[[^\]]* @ [^\]]*\] )+", "", line) for line in stderr.splitlines()]
    told = [line for line in lines if line and not re.match(r"\[ *\d+\]", line)]
    errors = [line for line in told if "ERROR:" in line or "error:" in line]
    return (errors or told or ["it said nothing"])[0].strip()
