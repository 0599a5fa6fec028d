"""`make demo`: start a server, upscale a clip through the SDK, and show what is gained over what a player shows.

The clip is made here: a pan over two photographs, half as large, x264 at CRF 26. It goes through the server as a file,
then as a stream with a rate. Written: in.mp4, out.mp4 and compare.png.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import esr_client
from benchmarks.serving import Serving, serving
from deploy.demo.clip import CRF, FPS, PHOTOGRAPHS, Shot, photograph_shots, read_video, write_small
from deploy.demo.quality import Comparison, compare
from deploy.demo.report import psnr_table, time_table
from deploy.demo.scrape import Scrape, scrape
from deploy.demo.sheet import draw_sheet
from esr_client.files import FileReport, FileSettings, upscale_file
from esr_server.models.catalog import Catalog, split_models
from esr_upscale.errors import UpscaleError


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


def paced(frames: Sequence[av.VideoFrame], fps: float) -> Iterator[av.VideoFrame]:
    """Give frames at the ticks of a rate, as a camera does."""
    start_s = time.monotonic()
    for index, frame in enumerate(frames):
        # A sleep, because the time of a frame is what is waited for.
        time.sleep(max(0.0, start_s + index / fps - time.monotonic()))
        yield frame


def scrape_counted(served: Serving, model: str, frames: int) -> Scrape:
    """Read /metrics.

    Raises:
        RuntimeError: it counts other than `frames` frames.
    """
    scraped = scrape(served.http, model)
    if scraped.frames != frames:
        raise RuntimeError(f"/metrics counts {scraped.frames} frames, the client {frames}")
    return scraped


def compare_shots(
    shots: Sequence[Shot], smalls: Sequence[av.VideoFrame], upscaled: Sequence[av.VideoFrame]
) -> list[Comparison]:
    """Compare each shot with its part of the frames that were sent and that came back."""
    comparisons, start = [], 0
    for shot in shots:
        part = slice(start, start + len(shot.frames))
        comparisons.append(compare(shot.name, shot.frames, smalls[part], upscaled[part]))
        start = part.stop
    return comparisons


def run(model_option: str, shots: Sequence[Shot], output: Path, console: Console) -> None:
    """Make a clip of the shots, upscale it, and print and draw what came of it.

    Raises:
        UpscaleError: there is no such model.
        EsrError: the server refused or ended a stream, or a file cannot be written.
    """
    (model,), files = split_models([model_option])
    scale = Catalog(files).find(model).spec.scale
    output.mkdir(parents=True, exist_ok=True)
    clip, out, picture = (output / name for name in ("in.mp4", "out.mp4", "compare.png"))
    write_small(shots, scale, clip)
    smalls = read_video(clip)
    with serving(model_option) as served, esr_client.connect(served.target) as client:
        report = upscale_with_bar(client, clip, out, model, console)
        file = scrape_counted(served, report.negotiated.model, report.frames)
        console.print(f"{clip.name} once more, as a camera's {FPS} frames per second …")
        upscaled = list(client.upscale(paced(smalls, FPS), model=model, target_fps=FPS))
        both = scrape_counted(served, report.negotiated.model, report.frames + len(upscaled))
    comparisons = compare_shots(shots, smalls, upscaled)
    credit = f"Photographs from scikit-image: {'; '.join(photo.credit for photo in PHOTOGRAPHS)}."
    draw_sheet(comparisons, model, credit, picture)
    console.print(time_table(report, file, both - file, FPS))
    console.print(psnr_table(comparisons, model))
    paths = f"{clip}: the clip, x264 CRF {CRF}\n{out}: upscaled ×{scale}\n{picture}: look at this"
    console.print(paths, soft_wrap=True, markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, make the demonstration, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument(
        "--model", default="esr_stack_x2", help="NAME or NAME=FILE as of esr-serve; default esr_stack_x2"
    )
    parser.add_argument("--output", type=Path, default=Path("demo"), help="directory to write to, default demo")
    options = parser.parse_args(arguments)
    try:
        run(options.model, photograph_shots(), options.output, Console())
    except (esr_client.EsrError, UpscaleError, OSError) as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
