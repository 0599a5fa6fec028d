"""`esr`: the workbench of whoever chooses or makes models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from esr_upscale.commands.common import SETS, Data, Threads, Weights, clear_errors, print_scores, print_table
from esr_upscale.commands.explain import explain_model
from esr_upscale.commands.export import export_model
from esr_upscale.commands.importing import import_model
from esr_upscale.commands.train import train_model
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import list_models, load_card, resolve

app = typer.Typer(help="Train, judge, list, import and export edge-SR models.", no_args_is_help=True)

app.command("train")(train_model)
app.command("explain")(explain_model)
app.command("import")(import_model)
app.command("export")(export_model)


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


@app.command("eval")
@clear_errors()
def evaluate_models(
    models: Annotated[list[str], typer.Argument(help="Models, by alias, canonical id or the paper's id.")],
    data: Data = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
    cards: Annotated[Path | None, typer.Option(help="Put the figures on the cards in this directory.")] = None,
    weights: Weights = None,
    threads: Threads = 1,
) -> None:
    """Measure the PSNR of models on sets of pictures; prints a Markdown table."""
    from esr_upscale.training.cards import measured_card, write_card
    from esr_upscale.training.run import judge

    if not data:
        raise InvalidInputError("there is nothing to judge on; give a directory of pictures: --data path/to/Set5")
    known = list_models(*(weights or ()))
    scores = {s: judge(s, tuple(data), threads, *(weights or ())) for s in [resolve(m, known) for m in models]}
    print_scores({spec.canonical_id: score for spec, score in scores.items()})
    if json_file:
        figures = {spec.canonical_id: score for spec, score in scores.items()}
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if cards:
        for spec, score in scores.items():
            write_card(measured_card(spec, score, cards), cards)


def main() -> None:
    """The entry point of `esr`."""
    app()


if __name__ == "__main__":
    main()
