"""`esr`: the workbench for choosing and making models."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Annotated

import typer

from esr_upscale.models import list_models, load_card
from esr_workbench.commands.calibrate import calibrate_source
from esr_workbench.commands.common import SETS, Weights, clear_errors, print_table
from esr_workbench.commands.compiling import compile_models
from esr_workbench.commands.evaluate import evaluate_models
from esr_workbench.commands.explain import explain_model
from esr_workbench.commands.export import export_model
from esr_workbench.commands.importing import import_model
from esr_workbench.commands.pareto import draw_pareto
from esr_workbench.commands.tiles import cut_tiles
from esr_workbench.commands.train import train_model

app = typer.Typer(
    help="Cut training tiles, train, judge, explain, compare and convert edge-SR models.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"esr {version('edge-sr')}")
        raise typer.Exit


@app.callback()
def read_options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("tiles")(cut_tiles)
app.command("train")(train_model)
app.command("calibrate")(calibrate_source)
app.command("eval")(evaluate_models)
app.command("explain")(explain_model)
app.command("import")(import_model)
app.command("export")(export_model)
app.command("pareto")(draw_pareto)
app.command("compile")(compile_models)


@app.command("models")
@clear_errors()
def show_models(weights: Weights = None) -> None:
    """List the models that can be served, with the figures of their cards."""
    rows = []
    for spec in list_models(*(weights or ())):
        psnr = load_card(spec, *(weights or ())).psnr
        figures = [f"{psnr[name]:.2f}" if name in psnr else "" for name in SETS]
        rows.append([spec.canonical_id, spec.alias or "", f"{spec.parameters}", f"{spec.macs}", *figures])
    print_table(["model", "alias", "parameters", "MACs/pixel", *SETS], rows)


def main() -> None:
    """Run `esr`, the entry point of its console script."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints a banner past FFmpeg's log; this is its only switch
    app()


if __name__ == "__main__":
    main()
