"""`esr export`: a model as a file for other runtimes and players."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import (
    ModelSpec,
    Source,
    file_sha256,
    list_models,
    load_card,
    load_nodes,
    load_weights,
    resolve,
    weights_path,
)
from esr_upscale.models.nodes import CLEAN, WORST
from esr_upscale.plane_kernel import Weights as Tensors
from esr_workbench.commands.common import Overwrite, Weights, check_outputs, clear_errors

OPSET = 18


class Format(StrEnum):
    """What can be written."""

    ONNX = "onnx"
    MPV = "mpv"


@clear_errors()
def export_model(
    model: Annotated[str, typer.Argument(help="Model, by alias, canonical id or the paper's id.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Format of --output: a network for ONNX runtimes, or a user shader for mpv."),
    ] = None,
    onnx: Annotated[Path | None, typer.Option(help="ONNX file to write: short for --format onnx -o FILE.")] = None,
    opset: Annotated[
        int | None, typer.Option(help=f"ONNX operator set, 18 or later. Default: {OPSET}.", show_default=False)
    ] = None,
    source_quality: Annotated[
        float | None,
        typer.Option(
            min=CLEAN,
            max=WORST,
            help="Quality of the sources that the weights are for, as a CRF of x264; 0: never coded. "
            "Default: weights for any source.",
            show_default=False,
        ),
    ] = None,
    downscaler: Annotated[
        str | None,
        typer.Option(
            help="Downscaler of the sources, with --source-quality: area, or sharp for bicubic, Spline36 and "
            "Lanczos. Default: any.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as an ONNX file or as a user shader for mpv. Both take luma in [0, 1], of any height and width."""
    path, kind = _destination(output, format_, onnx)
    if kind is Format.MPV and opset is not None:
        raise InvalidInputError("--opset is for --format onnx")
    check_outputs([path], overwrite=overwrite)
    directories = weights or ()
    spec = resolve(model, list_models(*directories))
    tensors, node = _weights_for(spec, source_quality, downscaler, directories)
    licence = load_card(spec, *directories).licence
    if kind is Format.MPV:
        from esr_workbench.shaders import export_mpv

        sha256 = file_sha256(weights_path(spec, *directories)) if spec.tensor_shapes else None
        typer.echo(export_mpv(spec, tensors, licence, sha256, path, node))
        return
    from esr_workbench.model_files.onnx_file import export_onnx

    typer.echo(export_onnx(spec, tensors, licence, path, OPSET if opset is None else opset, node))


def _weights_for(
    spec: ModelSpec, source_quality: float | None, downscaler: str | None, directories: Sequence[Path]
) -> tuple[Tensors, Source | None]:
    """Return the weights for a source of that quality that was made small so, and what they are for; None: for any."""
    blind = load_weights(spec, *directories)
    if source_quality is None:
        if downscaler is not None:
            raise InvalidInputError(
                "--downscaler is for weights for sources of known quality; give --source-quality too"
            )
        return blind, None
    nodes = load_nodes(spec, *directories)
    if nodes is None:
        raise InvalidInputError(f"{spec.canonical_id} has no weights for sources of known quality")
    node = nodes.node(Source(source_quality, downscaler or ""))
    if node is not None and downscaler is not None and node.downscaler != downscaler:
        available = ", ".join(str(source) for source in sorted(nodes.sets) if source.downscaler) or "none"
        raise InvalidInputError(
            f"{spec.canonical_id} has no weights for {Source(node.quantizer, downscaler)}; with a downscaler it has "
            f"{available}"
        )
    if node is None:
        quantizers = ", ".join(f"{quantizer:g}" for quantizer in nodes.quantizers)
        raise InvalidInputError(
            f"{spec.canonical_id} has weights for qualities near {quantizers}, not {source_quality:g}"
        )
    return nodes.at(node), node


def _destination(output: Path | None, kind: Format | None, onnx: Path | None) -> tuple[Path, Format]:
    if onnx is not None:
        if output is not None or kind is not None:
            raise InvalidInputError("--onnx FILE is short for --format onnx -o FILE; give one of them")
        return onnx, Format.ONNX
    if output is None:
        raise InvalidInputError(
            "there is nothing to write; say which file: --format mpv -o FILE.glsl, or --onnx FILE.onnx"
        )
    if kind is None:
        raise InvalidInputError(f"say which format {output} is to have: --format onnx or --format mpv")
    return output, kind
