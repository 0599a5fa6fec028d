"""The manifest of a library of compiled kernels: `kernels.json` next to it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from esr_upscale.backends.layout import Layout
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting

ABI = 3
"""How functions are called: buffers of Halide 21 for the planes, (H, W) or (H, W, 3); float scalars; an int32, how many
tasks the picture is cut into at most; and a buffer for the result, (H, s, padded row). Another number, another way."""
MANIFEST, LIBRARY = "kernels.json", "libesr_kernels.so"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFunction:
    """One function of the library."""

    function: str
    model: str
    """Canonical id, or a name that `chroma_name`, `rgb_luma_name` or `rgb_name` gives."""
    weights: str
    """`digest` of the weights that are in it."""
    layout: Layout


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a library, and for which processors it was made."""

    target: str
    abi: int
    functions: tuple[CompiledFunction, ...]

    def write(self, directory: Path) -> None:
        (directory / MANIFEST).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of a directory of compiled kernels.

    Raises:
        EngineError: there is none, or it is of another version.
    """
    path = directory / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        functions = tuple(
            CompiledFunction(**{**entry, "layout": Layout(**entry["layout"])}) for entry in document["functions"]
        )
        manifest = Manifest(document["target"], document["abi"], functions)
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = f"has no {MANIFEST}" if directory.is_dir() else "is no folder"
        raise EngineError(f"{directory} {problem}; `esr compile --out {directory}` makes kernels there") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path} is no manifest of kernels ({error}); `esr compile` makes one") from error
    if manifest.abi != ABI:
        raise EngineError(f"{path} has ABI {manifest.abi}, this server calls ABI {ABI}; compile the kernels again")
    return manifest


def chroma_name(scale: int, siting_x: Siting, siting_y: Siting) -> str:
    """Return the manifest's name of bicubic with these sitings."""
    return f"chroma_x{scale}_{siting_x.name.lower()}_{siting_y.name.lower()}"


def rgb_luma_name(depth: int) -> str:
    """Return the manifest's name of the luma of packed RGB of `depth` bits."""
    return f"luma_of_rgb{depth}"


def rgb_name(scale: int) -> str:
    """Return the manifest's name of the colour of packed RGB over upscaled luma."""
    return f"rgb_x{scale}"


def find(functions: Iterable[CompiledFunction], model: str, depth: int) -> CompiledFunction | None:
    """Return the function for a model and a depth."""
    return next((f for f in functions if f.model == model and f.layout.depth == depth), None)
