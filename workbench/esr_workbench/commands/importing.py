"""`esr import`: a published checkpoint as weights of ours."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.models.card import UNKNOWN_LICENCE, check_licence
from esr_workbench.commands.common import Overwrite, check_outputs, clear_errors, weights_files

OUT = Path("weights")


class PaddingChoice(StrEnum):
    """What lies outside the picture, as an option."""

    ZEROS = "zeros"
    EDGE = "edge"


@clear_errors()
def import_model(
    file: Annotated[
        Path, typer.Argument(help="Torch state dict, such as eSR-TR_s2_K5_C2.model; only tensors are read.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the model, if the file is not named after it.")] = None,
    padding: Annotated[
        PaddingChoice, typer.Option(help="Padding used in training; published checkpoints use zeros.")
    ] = PaddingChoice.ZEROS,
    licence: Annotated[str, typer.Option(help="SPDX id of the checkpoint's licence, for the card.")] = UNKNOWN_LICENCE,
    out: Annotated[Path, typer.Option(help="Directory for the weights and their card.")] = OUT,
    overwrite: Overwrite = False,
) -> None:
    """Convert a published checkpoint into weights and a card, for use with --weights."""
    from esr_workbench.model_files.import_checkpoint import checkpoint_spec, import_checkpoint

    check_licence(licence)
    spec = checkpoint_spec(file, name, "edge" if padding is PaddingChoice.EDGE else "zeros")
    check_outputs(weights_files(spec, out), overwrite=overwrite)
    path = import_checkpoint(file, spec, licence, out)
    typer.echo(f"{path}: {spec.parameters} parameters")
