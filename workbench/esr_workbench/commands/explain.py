"""`esr explain`: the paper's interpretation figures of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.models import list_models, load_weights, resolve
from esr_workbench.commands.common import Overwrite, Weights, check_outputs, clear_errors


@clear_errors()
def explain_model(
    model: Annotated[str, typer.Argument(help="eSR-MAX, eSR-TM, eSR-TR or bicubic, by any of its names.")],
    picture: Annotated[Path | None, typer.Option(help="Picture to show channels on; by default a drawing.")] = None,
    out: Annotated[Path, typer.Option(help="Directory for the figures.")] = Path("explain"),
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a model's filters, their frequency responses and where each channel wins, as PNG files."""
    from esr_workbench.evaluation.pictures import read_luma
    from esr_workbench.explain import explain, figure_paths, synthetic_picture

    directories = weights or ()
    spec = resolve(model, list_models(*directories))
    check_outputs(figure_paths(spec, out), overwrite=overwrite)
    luma = synthetic_picture() if picture is None else read_luma(picture) / 255
    for path in explain(spec, load_weights(spec, *directories), luma, out):
        typer.echo(path)
