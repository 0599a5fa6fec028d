"""`esr export`: a model as a file for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.commands.common import Overwrite, Weights, check_outputs, clear_errors
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import list_models, load_card, load_weights, resolve


@clear_errors()
def export_model(
    model: Annotated[str, typer.Argument(help="Model, by alias, canonical id or the paper's id.")],
    onnx: Annotated[Path | None, typer.Option(help="ONNX file to write.")] = None,
    opset: Annotated[int, typer.Option(help="ONNX operator set, 18 or later.")] = 18,
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as an ONNX file: luma in [0, 1], any batch, height and width."""
    if onnx is None:
        raise InvalidInputError("there is nothing to write; say which file: --onnx FILE.onnx")
    check_outputs([onnx], overwrite=overwrite)
    from esr_upscale.training.onnx_file import export_onnx

    directories = weights or ()
    spec = resolve(model, list_models(*directories))
    tensors, licence = load_weights(spec, *directories), load_card(spec, *directories).licence
    typer.echo(export_onnx(spec, tensors, licence, onnx, opset))
