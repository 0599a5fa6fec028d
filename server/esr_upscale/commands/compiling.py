"""`esr compile`: fused kernels for a device that has no Halide."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.commands.common import Overwrite, Weights, check_outputs, clear_errors
from esr_upscale.errors import EngineError
from esr_upscale.kernels import available
from esr_upscale.models import list_models, load_weights, resolve
from esr_upscale.replacement import replace_file

DEPTHS = (8, 10, 16)


@clear_errors()
def compile_models(
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the library and its manifest.")],
    model: Annotated[list[str] | None, typer.Option(help="A model, any number of them. [default: esr_tr_x2]")] = None,
    target: Annotated[str, typer.Option(help="arm-64-linux or x86-64-linux.")] = "arm-64-linux",
    depth: Annotated[list[int] | None, typer.Option(help="Bits of a sample; RGB takes 16. [default: all]")] = None,
    cc: Annotated[str | None, typer.Option(help="C compiler of the target, to link with.")] = None,
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Compile models, and the bicubic of their chroma, into one shared library: `esr-serve --kernels DIR` loads it."""
    if not available():
        raise EngineError('compiling needs Halide, which is not installed: pip install "edge-sr[server]"')
    from esr_upscale.kernels.library import compile_library
    from esr_upscale.kernels.manifest import LIBRARY, MANIFEST

    files = [out / name for name in (LIBRARY, MANIFEST)]
    check_outputs(files, overwrite=overwrite)

    directories = weights or ()
    specs = [resolve(name, list_models(*directories)) for name in model or ["esr_tr_x2"]]
    loaded = [(spec, load_weights(spec, *directories)) for spec in dict.fromkeys(specs)]
    with tempfile.TemporaryDirectory() as folder:
        compile_library(loaded, depth or DEPTHS, target, Path(folder), cc, lambda name: typer.echo(name, err=True))
        for path in files:
            with replace_file(path) as part:
                shutil.copyfile(Path(folder) / path.name, part)
    typer.echo(f"{files[0]}: {files[0].stat().st_size / 1e6:.1f} MB for {target}")
