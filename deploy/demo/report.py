"""The demo's tables: PSNR of each shot, and how long frames took."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from deploy.demo.quality import Comparison, mean_psnr
from deploy.demo.scrape import STAGES, Histogram, Scrape
from esr_client.files import FileReport


def psnr_table(comparisons: Sequence[Comparison], model: str) -> Table:
    """Return a row for each shot and one for their mean."""
    table = Table("PSNR, dB", title="luma against the original")
    for name in ("Lanczos", model, "gain"):
        table.add_column(name, justify="right")
    for comparison in comparisons:
        table.add_row(comparison.name, *_gain_cells(comparison.psnr_db))
    table.add_section()
    table.add_row("mean", *_gain_cells(mean_psnr(comparisons)))
    return table


def _gain_cells(psnr_db: tuple[float, float]) -> tuple[str, str, str]:
    player, model = psnr_db
    return f"{player:.2f}", f"{model:.2f}", f"{model - player:+.2f}"


def time_table(report: FileReport, file: Scrape, realtime: Scrape, fps: float) -> Table:
    """Return FPS and the time of each stage for the file, and the latency of the stream that has a rate."""
    title = f"{report.negotiated.model}, {report.negotiated.backend}\n"
    title += f"file: {report.frames} frames, {report.frames / report.elapsed_s:.1f} FPS"
    table = Table("per frame", "p50 ms", "p99 ms", title=title)
    for stage in STAGES:
        if stage in file.stages:
            table.add_row(stage, *_quantiles_ms(file.stages[stage]))
        else:
            table.add_row(stage, "by the client", "")
    table.add_section()
    table.add_row(f"latency at {fps:g} FPS", *_quantiles_ms(realtime.latency))
    return table


def _quantiles_ms(histogram: Histogram) -> tuple[str, str]:
    p50, p99 = (f"{histogram.quantile(q) * 1e3:.1f}" for q in (0.5, 0.99))
    return p50, p99
