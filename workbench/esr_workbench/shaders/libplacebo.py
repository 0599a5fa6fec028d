"""User shaders run through FFmpeg's libplacebo filter, on a GPU or on a software Vulkan such as Mesa's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esr_upscale.errors import EngineError, InvalidInputError
from esr_workbench.ffmpeg import check_filter, run_ffmpeg
from esr_workbench.shaders.sizes import output_size

_NAME = "shader.glsl"
_PROBE_TIMEOUT_S = 60.0
_DEVICE = ("-init_hw_device", "vulkan")


@dataclass(frozen=True, slots=True)
class Shader:
    """The text of a user shader file."""

    name: str
    text: str
    EXAMPLE: ClassVar[tuple[int, int]] = (960, 540)
    """Width and height of a picture on which its scale is tried."""

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

    def makes(self, scale: int) -> bool:
        """Return whether it can make `scale` times as many pixels on each axis."""
        try:
            self.check_scale(*self.EXAMPLE, scale)
        except InvalidInputError:
            return False
        return True

    def check_scale(self, width: int, height: int, scale: int) -> None:
        """Raise InvalidInputError unless it makes `scale` times as many pixels of a picture on each axis."""
        target = (scale * width, scale * height)
        try:
            size = output_size(self.text, (width, height), target)
        except InvalidInputError as error:
            raise InvalidInputError(f"shader {self.name}: {error}") from error
        if size != target:
            raise InvalidInputError(
                f"shader {self.name} makes {size[0]}x{size[1]} of {width}x{height}; at x{scale} it must be "
                f"{target[0]}x{target[1]}"
            )


def check_libplacebo() -> None:
    """Raise EngineError when there is no ffmpeg with the filter libplacebo, or no Vulkan device for it."""
    check_filter("libplacebo")
    source = ("-f", "lavfi", "-i", "color=size=16x16:rate=1", "-frames:v", "1")
    graph = _graph(16, 16, shader=False)
    result = run_ffmpeg([*_DEVICE, *source, "-vf", graph, "-f", "null", "-"], timeout_s=_PROBE_TIMEOUT_S)
    if result.exit_code:
        raise EngineError(
            f"ffmpeg's filter libplacebo cannot run here ({result.reason}); without a GPU it needs a software Vulkan, "
            "on Debian mesa-vulkan-drivers"
        )


def run_shader(shader: Shader, frames: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return luma frames (N, H, W) as the shader makes them: (N, s·H, s·W), rounded by libplacebo without dithering.

    Raises:
        InvalidInputError: the shader makes another size, or it does not compile.
        EngineError: ffmpeg failed.
    """
    count, height, width = frames.shape
    shader.check_scale(width, height, scale)
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-video_size", f"{width}x{height}", "-i", "-")
    graph = _graph(scale * width, scale * height, shader=True)
    output = ("-f", "rawvideo", "-pix_fmt", "gray", "-")
    with TemporaryDirectory() as folder:
        # In the filter's own language a path may need escapes, so the file gets a name of ours.
        (Path(folder) / _NAME).write_text(shader.text, encoding="utf-8")
        result = run_ffmpeg([*_DEVICE, *source, "-vf", graph, *output], frames.tobytes(), Path(folder))
    # A shader that does not compile is an error in the log; the frames come without it.
    if "libplacebo" in result.log:
        raise InvalidInputError(f"shader {shader.name} does not run: {result.reason}")
    if result.exit_code or len(result.output) != count * scale * height * scale * width:
        raise EngineError(f"ffmpeg failed on shader {shader.name}: {result.reason}")
    return np.frombuffer(result.output, np.uint8).reshape(count, scale * height, scale * width)


def _graph(width: int, height: int, *, shader: bool) -> str:
    # Full range in and out: nothing is stretched or cut, and a shader on luma sees code values / 255 all the same.
    path = f":custom_shader_path={_NAME}" if shader else ""
    filters = f"libplacebo=w={width}:h={height}:range=full:dithering=none{path}"
    return f"format=gray,setparams=range=full,hwupload,{filters},hwdownload,format=gray"
