"""`esr-client compare`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from esr_client.cli._app import app, report_errors
from esr_client.cli._interrupt import interruptible
from esr_client.cli._values import parse_time
from esr_client.files import Comparison, Layout
from esr_client.files import compare as compare_files


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A video or picture.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one, of the same scene.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Picture (.png) or video that shows both.", metavar="OUT")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="HR", help="Original at full size, to print PSNR and SSIM of A and B.")
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(help="side: A left of B; split: left half of A, right half of B; zoom: the middle, three times."),
    ] = Layout.SIDE,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Frame to show in a picture. Default: the first.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Show two videos or pictures in one, and measure them against a reference."""
    with report_errors():
        at_s = None if at is None else float(parse_time(at))
        stopped = threading.Event()

        def work() -> Comparison:
            return compare_files(
                a,
                b,
                out,
                reference=reference,
                layout=layout,
                at_s=at_s,
                overwrite=overwrite,
                should_stop=stopped.is_set,
            )

        result = interruptible(work, stopped.set)
        for name in result.longer:
            typer.echo(f"note: {name} has more frames; the first {result.frames} were compared", err=True)
        if result.scores is not None:
            table = Table("", "PSNR dB", "SSIM", box=None, pad_edge=False)
            for name, score in zip((a, b), result.scores, strict=True):
                table.add_row(name, f"{score.psnr_db:.2f}", f"{score.ssim:.4f}")
            Console(highlight=False).print(table)
            typer.echo(f"luma of {result.frames} frames at {result.size[0]}x{result.size[1]}")
        if out is not None:
            typer.echo(f"{out}: {a} and {b}")
