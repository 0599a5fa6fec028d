"""`esr pareto`: quality against speed on this machine, and which model to take."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, list_models, load_card, resolve
from esr_upscale.replacement import write_text
from esr_workbench.commands.common import SETS, Overwrite, Weights, check_outputs, clear_errors, print_table
from esr_workbench.commands.progress import show_progress

if TYPE_CHECKING:
    from esr_upscale.engine import EngineSettings
    from esr_workbench.pareto.choose import Place, Target
    from esr_workbench.pareto.measure import Size
    from esr_workbench.pareto.power import Found

OUT = Path("pareto")
FILES = ("pareto.png", "pareto.html")
SIZE = "960x540"
TURN_S = 0.25
"""Seconds of a model's turn in a round."""
HEAD = ("model", "LR", "output", "backend", "ms", "luma ms", "FPS", "PSNR", "J/frame", "frontier")


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found out."""

    places: tuple[Place, ...]
    best: tuple[Place, ...]
    """The frontiers of all scales."""
    machine: str
    power: Found
    target: Target | None


@clear_errors()
def draw_pareto(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models to time; all if none is named.", show_default=False)
    ] = None,
    size: Annotated[str | None, typer.Option(help="Size of the LR frames. Default: 960x540.")] = None,
    recommend: Annotated[
        str | None,
        typer.Option(
            metavar="1080p60", help="Output size and rate to recommend a model for, such as 1080p60 or 1920x1080@59.94."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for pareto.png and pareto.html.")] = OUT,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for the figures.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Number of timing rounds of each model.")] = 7,
    threads: Annotated[int, typer.Option(min=0, help="Threads for one frame; 0 is one for each processor.")] = 0,
    device: Annotated[str, typer.Option(help="Device: cpu or cuda.")] = "cpu",
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Time models on this machine and draw their PSNR against frames per second, with the Pareto frontier.

    With --recommend, models are timed at the sizes that give that output; the exit code is 1 if none is fast enough.
    """
    from esr_upscale.engine import EngineSettings
    from esr_workbench.pareto.choose import Target
    from esr_workbench.pareto.measure import Size

    if size and recommend:
        raise InvalidInputError("give either --size or --recommend, which sets the sizes itself")
    target = Target.of(recommend) if recommend else None
    check_outputs([*(out / name for name in FILES), json_file], overwrite=overwrite)
    directories = tuple(weights or ())
    available = list_models(*directories)
    specs = (
        list(dict.fromkeys(resolve(model, available) for model in models))
        if models
        else [spec for spec in available if not spec.clean]
    )
    frame_size = Size.of(size or SIZE)
    sizes = {spec: target.size.over(spec.scale) if target else frame_size for spec in specs}
    settings = EngineSettings(device=device, threads=threads)
    report = _examine(specs, sizes, settings, rounds, directories, target)
    rows = [_row(place, place in report.best) for place in report.places]
    print_table(HEAD, rows)
    for note in _notes(report):
        typer.echo(note)
    _draw(report, rows, out)
    if json_file:
        write_text(json_file, json.dumps(_as_json(report), indent=2, ensure_ascii=False) + "\n")
    if target and not _say_best(report, target):
        raise typer.Exit(1)


def _examine(
    specs: Sequence[ModelSpec],
    sizes: dict[ModelSpec, Size],
    settings: EngineSettings,
    rounds: int,
    directories: tuple[Path, ...],
    target: Target | None,
) -> Report:
    from esr_workbench.pareto.choose import Place, frontier
    from esr_workbench.pareto.measure import job, machine_name, measure
    from esr_workbench.pareto.power import find_meter

    quality = {spec: mean_psnr(spec, directories) for spec in specs}
    power = find_meter(settings.device)
    jobs = [job(spec, sizes[spec], settings, *directories) for spec in specs]
    turns, count = itertools.count(1), len(jobs) * rounds
    with show_progress("timing") as show:
        measured = measure(jobs, rounds, TURN_S, power.meter, lambda: show(next(turns), count))
    places = tuple(Place(each, quality[each.spec]) for each in measured)
    by_scale = ([p for p in places if p.measured.spec.scale == s] for s in sorted({spec.scale for spec in specs}))
    best = tuple(place for same in by_scale for place in frontier(same))
    machine = f"{machine_name()}, {settings.device}, {settings.threads_of_frame} thread(s)"
    return Report(places, best, machine, power, target)


def mean_psnr(spec: ModelSpec, directories: tuple[Path, ...] = ()) -> float | None:
    """Return the mean PSNR in dB over the three sets, by the model's card; None if the card lacks one."""
    psnr = load_card(spec, *directories).psnr
    return sum(psnr[name] for name in SETS) / len(SETS) if all(name in psnr for name in SETS) else None


def _row(place: Place, on_frontier: bool) -> list[str]:
    timing = place.measured
    return [
        timing.spec.canonical_id,
        f"{timing.size}",
        f"{timing.size.times(timing.spec.scale)}",
        timing.backend,
        f"{timing.seconds * 1e3:.1f}",
        f"{timing.luma_seconds * 1e3:.1f}",
        f"{timing.fps:.1f}",
        "–" if place.psnr is None else f"{place.psnr:.2f}",
        "–" if timing.joules is None else f"{timing.joules:.3f}",
        "yes" if on_frontier else "",
    ]


def _notes(report: Report) -> Iterator[str]:
    yield f"on {report.machine}; PSNR is the mean over {', '.join(SETS)}, in dB"
    if report.power.meter:
        yield f"J/frame by {report.power.meter.name}: all that it draws, idle power included"
    yield from report.power.notes
    unknown = [place.measured.spec.canonical_id for place in report.places if place.psnr is None]
    if unknown:
        yield f"without figures on their cards, so not drawn (`esr eval --cards` writes them): {', '.join(unknown)}"


def _draw(report: Report, rows: Sequence[Sequence[str]], out: Path) -> None:
    from esr_workbench.pareto.chart import Chart, draw_chart, write_png
    from esr_workbench.pareto.page import page

    chart = Chart(report.places, report.machine, report.target)
    figure = draw_chart(chart)
    picture, document = (out / name for name in FILES)
    write_png(figure, picture)
    write_text(document, page(chart, figure, HEAD, rows, ". ".join(_notes(report)) + "."))
    for path in (picture, document):
        typer.echo(path)


def _say_best(report: Report, target: Target) -> bool:
    from esr_workbench.pareto.choose import MARGIN, recommend

    limit = f"{target.limit_s * 1e3:.1f} ms may be used, with {MARGIN:.0%} of a frame's time left"
    best = recommend(report.places, target)
    if best is None:
        fastest = max(report.places, key=lambda place: place.measured.fps)
        typer.echo(
            f"{target.name}: no model of known quality holds it here. The fastest, {_figures(fastest)}; {limit}."
        )
        return False
    typer.echo(f"{target.name}: {_figures(best)}; {limit}.")
    for scale in sorted({place.measured.spec.scale for place in report.places}):
        of_scale = recommend((p for p in report.places if p.measured.spec.scale == scale), target)
        typer.echo(f"  best of ×{scale}: " + (_figures(of_scale) if of_scale else "none holds it"))
    return True


def _figures(place: Place) -> str:
    timing = place.measured
    quality = "" if place.psnr is None else f", {place.psnr:.2f} dB"
    output = timing.size.times(timing.spec.scale)
    speed = f"{timing.fps:.1f} frames per second ({timing.seconds * 1e3:.1f} ms)"
    return f"{timing.spec.canonical_id}, {timing.size} → {output}{quality}: {speed}"


def _as_json(report: Report) -> dict[str, Any]:
    from esr_workbench.pareto.choose import recommend

    best = recommend(report.places, report.target) if report.target else None
    meter = report.power.meter
    return {
        "machine": report.machine,
        "power": {"meter": meter.name if meter else None, "notes": report.power.notes},
        "models": {p.measured.spec.canonical_id: _model_json(p, p in report.best) for p in report.places},
        "target": asdict(report.target) | {"limit_ms": round(report.target.limit_s * 1e3, 3)}
        if report.target
        else None,
        "recommended": best.measured.spec.canonical_id if best else None,
    }


def _model_json(place: Place, on_frontier: bool) -> dict[str, Any]:
    timing = place.measured
    output = timing.size.times(timing.spec.scale)
    return {
        "backend": timing.backend,
        "size": [timing.size.width, timing.size.height],
        "output": [output.width, output.height],
        "ms": round(timing.seconds * 1e3, 3),
        "luma_ms": round(timing.luma_seconds * 1e3, 3),
        "fps": round(timing.fps, 3),
        "psnr": place.psnr and round(place.psnr, 3),
        "joules": timing.joules,
        "frontier": on_frontier,
    }
