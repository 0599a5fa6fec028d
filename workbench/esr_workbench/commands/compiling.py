"""`esr compile`: fused kernels for a device that has no Halide."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.backends.halide import is_halide_installed
from esr_upscale.errors import EngineError
from esr_upscale.models import DEFAULT_MODEL, ModelSpec, list_models, load_weights, read_weights_file, resolve
from esr_upscale.plane_kernel import Weights as Tensors
from esr_upscale.replacement import replace_file
from esr_workbench.commands.common import Overwrite, Weights, check_outputs, clear_errors

DEPTHS = (8, 10, 16)


@clear_errors()
def compile_models(
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the library and its manifest.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"Model, or NAME=FILE for your own weights; may be repeated. [default: {DEFAULT_MODEL}]"),
    ] = None,
    target: Annotated[str, typer.Option(help="Target system: arm-64-linux or x86-64-linux.")] = "arm-64-linux",
    depth: Annotated[
        list[int] | None, typer.Option(help="Bits of a sample; RGB needs 16; may be repeated. [default: all]")
    ] = None,
    cc: Annotated[str | None, typer.Option(help="C compiler for the target, used for linking.")] = None,
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Compile models, and bicubic for chroma, into one shared library for `esr-serve --kernels DIR`."""
    if not is_halide_installed():
        raise EngineError('compiling needs Halide, which is not installed: pip install "edge-sr[server]"')
    from esr_upscale.backends.aot.compile import compile_library
    from esr_upscale.backends.aot.manifest import LIBRARY, MANIFEST

    files = [out / name for name in (LIBRARY, MANIFEST)]
    check_outputs(files, overwrite=overwrite)

    networks: list[tuple[ModelSpec, Tensors]] = []
    for name in dict.fromkeys(model or [DEFAULT_MODEL]):
        _, has_file, file = name.partition("=")
        if has_file:
            content = read_weights_file(Path(file), name)
            networks.append((content.spec, content.tensors))
        else:
            spec = resolve(name, list_models(*(weights or ())))
            networks.append((spec, load_weights(spec, *(weights or ()))))
    with tempfile.TemporaryDirectory() as folder:
        compile_library(networks, depth or DEPTHS, target, Path(folder), cc, lambda name: typer.echo(name, err=True))
        for path in files:
            with replace_file(path) as part:
                shutil.copyfile(Path(folder) / path.name, part)
    typer.echo(f"{files[0]}: {files[0].stat().st_size / 1e6:.1f} MB for {target}")
