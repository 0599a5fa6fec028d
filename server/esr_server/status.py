"""The status page: what a person sees who opens the server's HTTP port in a browser."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from esr_server.models import ModelEntry

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>edge-sr</title><meta http-equiv="refresh" content="5">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ccc; }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
</style></head><body>
<h1>edge-sr</h1>
<p>{state}. {active} stream(s) running. gRPC on {addresses}.
<a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a> <a href="/readyz">/readyz</a></p>
<table><tr><th>model</th><th>family</th><th class="n">scale</th><th class="n">parameters</th>
<th class="n">MACs per pixel</th><th>PSNR, dB</th><th>engine</th><th>loaded</th></tr>
{rows}
</table></body></html>
"""


@dataclass(frozen=True, slots=True)
class Status:
    """What the page shows."""

    state: str
    active: int
    addresses: tuple[str, ...]


def render(status: Status, models: Iterable[ModelEntry]) -> bytes:
    """The page as HTML in UTF-8."""
    return _PAGE.format(
        state=html.escape(status.state),
        active=status.active,
        addresses=html.escape(", ".join(status.addresses)),
        rows="\n".join(_row(entry) for entry in models),
    ).encode()


def _row(entry: ModelEntry) -> str:
    spec = entry.spec
    figures = ", ".join(f"{name} {value:.2f}" for name, value in entry.card.psnr.items())
    cells = (
        f"<td>{html.escape(spec.canonical_id)}</td><td>{html.escape(spec.family)}</td>"
        f'<td class="n">×{spec.scale}</td><td class="n">{spec.parameters}</td><td class="n">{spec.macs}</td>'
        f"<td>{html.escape(figures)}</td><td>{html.escape(entry.engine)}</td><td>{'yes' if entry.loaded else 'no'}</td>"
    )
    return f"<tr>{cells}</tr>"
