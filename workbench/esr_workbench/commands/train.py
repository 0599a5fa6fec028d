"""`esr train`: one model, or a pool of them."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esr_upscale.errors import InvalidInputError, UpscaleError
from esr_upscale.models import resolve
from esr_workbench.commands.common import (
    Data,
    Overwrite,
    check_outputs,
    clear_errors,
    print_scores,
    print_table,
    weights_files,
)
from esr_workbench.commands.progress import show_progress

if TYPE_CHECKING:
    from esr_workbench.training.loop import Progress

OUT = Path("weights")


@clear_errors()
def train_model(
    tiles: Annotated[Path, typer.Option(help="Directory of 8-bit luma PNG tiles, with an optional CREDITS.csv.")],
    model: Annotated[str | None, typer.Argument(help="Model to train, or a TOML file.")] = None,
    pool: Annotated[
        Path | None, typer.Option(help="TOML file of models; those with weights in --out are skipped.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the weights and their cards.")] = OUT,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Approximate training time, in seconds. Default: 100.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of steps, instead of --seconds.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. Default: 1.")] = None,
    restarts: Annotated[
        int | None, typer.Option(min=1, help="Number of one-layer networks trained in parallel.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Number of crops per step of a multi-layer network.")] = None,
    crop: Annotated[int | None, typer.Option(min=3, help="Side of a crop, in LR pixels.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Peak learning rate of a multi-layer network.")] = None,
    start: Annotated[str | None, typer.Option(help="Weights to continue from: a directory, or shipped.")] = None,
    degradation: Annotated[
        str | None,
        typer.Option(
            help="How to make the small pictures: bicubic (default), or video: moving clips, many downscalers, "
            "blur, noise and codecs."
        ),
    ] = None,
    mosaics: Annotated[int | None, typer.Option(min=8, help="Number of clips for video. Default: 320.")] = None,
    ways: Annotated[
        int | None, typer.Option(min=1, help="Number of degradations of each clip for video. Default: 3.")
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option(
            help="Nodes to train from the weights of --start: quantisers, as in 0,17,25,29 with 0 for clean, "
            "or quantisers with downscalers, as in 0/area. Needs --degradation video."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Number of threads. Default: 1.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="SPDX id of the weights' licence, for the card. Default: LicenseRef-unknown.")
    ] = None,
    data: Data = None,
    overwrite: Overwrite = False,
) -> None:
    """Train models on tiles, write weights and cards, and judge them if --data is given.

    After Ctrl-C or SIGTERM, the same command continues the run from its checkpoint. Options for training override
    those of a file.
    """
    values: dict[str, Any] = {"seconds": seconds, "steps": steps, "seed": seed, "restarts": restarts, "batch": batch}
    values |= {"degradation": degradation, "mosaics": mosaics, "ways": ways}
    values["nodes"] = None if nodes is None else tuple(nodes.split(","))
    values |= {"crop": crop, "rate": rate, "start": start, "threads": threads, "licence": licence}
    settings = {name: value for name, value in values.items() if value is not None}
    if (model is None) == (pool is None):
        raise InvalidInputError("give either a model or --pool FILE.toml")
    if pool is not None or str(model).endswith(".toml"):
        if overwrite:
            raise InvalidInputError(
                "a file of models leaves out those that have weights; "
                "--overwrite is for a model named on the command line"
            )
        names = _train_pool(pool or Path(str(model)), tiles, out, settings)
    else:
        names = _train_one(str(model), tiles, out, settings, overwrite)
    if data and names:
        _judge(names, tuple(data), out, threads or 1)
    if None in names:
        raise typer.Exit(1)


def _train_one(model: str, tiles: Path, out: Path, settings: dict[str, Any], overwrite: bool) -> list[str | None]:
    from esr_workbench.training.checkpoint import Checkpoint
    from esr_workbench.training.run import TrainingSettings, train

    spec = resolve(model)
    # A checkpoint is of a run that has been allowed to write them.
    check_outputs(weights_files(spec, out), overwrite=overwrite or Checkpoint(spec, out).exists())
    with _stop_signals() as stop, _progress(spec.canonical_id) as report:
        journal = train(spec, tiles, out, TrainingSettings.of(settings), report, stop)
    typer.echo(f"{out / spec.canonical_id}.safetensors: {journal.psnr:.2f} dB held-out, {journal.steps} steps")
    return [spec.canonical_id]


def _train_pool(file: Path, tiles: Path, out: Path, settings: dict[str, Any]) -> list[str | None]:
    # None stands for a model that failed.
    from esr_workbench.training.pool import Entry, read_pool, train_pool

    entries = [Entry(entry.name, entry.settings | settings) for entry in read_pool(file)]
    with _stop_signals() as stop:
        outcomes = train_pool(entries, tiles, out, _progress, lambda line: typer.echo(line, err=True), stop)
    rows = []
    for outcome in outcomes:
        journal = outcome.journal
        figures = [f"{journal.steps}", f"{journal.seconds:.0f}", f"{journal.psnr:.2f}"] if journal else [""] * 3
        rows.append([outcome.name, outcome.state, *figures])
    print_table(["model", "", "steps", "seconds", "held-out dB"], rows)
    return [None if outcome.state == "failed" else outcome.name for outcome in outcomes]


def _judge(names: list[str | None], sets: tuple[Path, ...], out: Path, threads: int) -> None:
    from esr_workbench.evaluation.quality import judge
    from esr_workbench.model_files.cards import measured_card, write_card

    specs = [resolve(name) for name in names if name]
    with show_progress("judging") as show:
        qualities = judge(specs, sets, threads, out, report=show)
    scores = {spec: {name: q.psnr for name, q in quality.items()} for spec, quality in qualities.items()}
    for spec, score in scores.items():
        write_card(measured_card(spec, score, out), out)
    if scores:
        print_scores({spec.canonical_id: score for spec, score in scores.items()})


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Take SIGINT and SIGTERM as requests to stop at the next step; a second one ends the process as ever."""
    signals: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        restore()

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    handlers = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    except UpscaleError as error:
        if not signals:
            raise
        typer.echo(str(error), err=True)
        raise typer.Exit(128 + signals[0]) from error
    finally:
        restore()


@contextmanager
def _progress(title: str) -> Iterator[Callable[[Progress], None]]:
    with show_progress(title) as show:

        def report(p: Progress) -> None:
            psnr = f"{p.psnr:.2f}" if math.isfinite(p.psnr) else "–"
            show(p.step, p.steps, p.doing or f"loss {p.loss:.6f}, held-out {psnr} dB")

        yield report
