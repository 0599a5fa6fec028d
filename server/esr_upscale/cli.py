"""`esr`: the workbench of whoever chooses or makes models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from esr_upscale.commands.common import SETS, Data, Threads, Weights, clear_errors, print_table
from esr_upscale.commands.explain import explain_model
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import list_models, load_card, resolve

if TYPE_CHECKING:
    from esr_upscale.training.one_layer import Progress

app = typer.Typer(help="Train, judge and list edge-SR models.", no_args_is_help=True)

app.command("explain")(explain_model)


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
    _print_scores({spec.canonical_id: score for spec, score in scores.items()})
    if json_file:
        figures = {spec.canonical_id: score for spec, score in scores.items()}
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if cards:
        for spec, score in scores.items():
            write_card(measured_card(spec, score, cards), cards)


@app.command("train")
@clear_errors()
def train_model(
    model: Annotated[str, typer.Argument(help="eSR-MAX, eSR-TM or eSR-TR, at any scale, K and C.")],
    tiles: Annotated[Path, typer.Option(help="Directory of 8-bit luma PNG tiles, and CREDITS.csv if there is one.")],
    out: Annotated[Path, typer.Option(help="Directory for the weights and their card.")] = Path("weights"),
    seconds: Annotated[float, typer.Option(min=1, help="How long to train, about.")] = 100.0,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps, instead of --seconds.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    restarts: Annotated[int, typer.Option(min=1, help="Networks trained side by side; the best is kept.")] = 6,
    data: Data = None,
    threads: Threads = 1,
) -> None:
    """Train a one-layer model on tiles, write weights and card, and judge them if --data is given."""
    from esr_upscale.training.run import TrainingSettings, train

    spec = resolve(model)
    settings = TrainingSettings(seconds=seconds, steps=steps, seed=seed, restarts=restarts, threads=threads)
    with _progress(spec.canonical_id) as report:
        result = train(spec, tiles, out, settings, report)
    typer.echo(f"{out / spec.canonical_id}.safetensors: {result.psnr:.2f} dB on held-out patches, {result.steps} steps")
    if data:
        evaluate_models([spec.canonical_id], data, cards=out, weights=[out], threads=threads)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[Progress], None]]:
    figures = TextColumn("loss {task.fields[loss]:.6f}  held-out {task.fields[psnr]:.2f} dB")
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), figures, TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, loss=0.0, psnr=0.0)
        yield lambda p: bar.update(task, completed=p.step, total=p.steps, loss=p.loss, psnr=p.psnr)


def _print_scores(scores: dict[str, dict[str, float]]) -> None:
    sets = list(next(iter(scores.values())))
    rows = [
        [name, *(f"{score[s]:.2f}" for s in sets), f"{sum(score.values()) / len(score):.2f}"]
        for name, score in scores.items()
    ]
    print_table(["model", *sets, "mean"], rows)


def main() -> None:
    """The entry point of `esr`."""
    app()


if __name__ == "__main__":
    main()
