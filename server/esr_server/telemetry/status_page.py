"""The status page: what a person sees who opens the server's HTTP port in a browser, on a phone too."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from esr_server.models.served import ModelEntry

_TIMED_SIZE = (960, 540)  # made into 1080p at ×2
_REFRESH_S = 5

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>edge-sr: {state}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="{refresh_s}">
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #888; }}
body {{ font: 15px/1.4 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 .75rem; }}
h1 {{ font-size: 1.4rem; margin: 0; }} h2 {{ font-size: 1.1rem; margin: 1.5rem 0 .25rem; }}
p {{ margin: .25rem 0; overflow-wrap: anywhere; }} .soft {{ color: var(--soft); font-size: .85rem; }}
dl {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(5.5rem, 1fr)); gap: .5rem; margin: 1rem 0; }}
dl div {{ border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .6rem; }}
dt {{ color: var(--soft); font-size: .8rem; }}
dd {{ margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .3rem .5rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }}
th {{ font-size: .8rem; font-weight: normal; color: var(--soft); }} td:first-child {{ overflow-wrap: anywhere; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
@media (max-width: 36rem) {{ .wide {{ display: none; }} }}
</style></head><body>
<h1>edge-sr is {state}</h1>
<p class="soft">version {version}, up {uptime}. {addresses}</p>
<dl>{figures}</dl>
<h2>Loaded models</h2>
<table><tr><th>model</th><th class="n">fps</th><th class="n">latency,<br>ms</th><th class="n">worst,<br>ms</th>
<th class="n">ms for<br>{timed}</th><th class="wide">backend</th><th class="n wide">PSNR, dB</th></tr>
{loaded}
</table>
<p class="soft">fps and latency are of the last second. A frame of {timed} takes so long if it is alone.</p>
<h2>Other models</h2>
<table><tr><th>model</th><th class="n">scale</th><th class="n wide">parameters</th><th class="n">MACs<br>per pixel</th>
<th class="n">PSNR, dB</th><th class="wide">backend</th></tr>
{others}
</table>
<p class="soft">They are loaded when a stream first asks for them. PSNR is a mean over the sets of its card.</p>
<p><a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a> <a href="/readyz">/readyz</a></p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class RecentFrames:
    """Frames of one model that were sent in the last second."""

    fps: float
    median_s: float
    """Latency: from a frame's arrival until it was sent."""
    worst_s: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the server started."""

    frames_sent: int = 0
    frames_late: int = 0
    frames_dropped: int = 0
    frames_lost: int = 0
    streams_refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Figures of the page, without the models."""

    state: str
    version: str
    uptime_s: float
    addresses: str
    streams: int
    load: float
    """Of the machine, asked for by streams with a rate; 1 is all of it."""
    realtime_ratio: float
    """Of streams with a rate; 1 where none runs."""
    totals: Totals = field(default_factory=Totals)
    recent: Mapping[str, RecentFrames] = field(default_factory=dict)
    """By canonical id."""


def render(status: Status, models: Iterable[ModelEntry]) -> bytes:
    """Return the page as HTML in UTF-8."""
    entries = list(models)
    totals = status.totals
    figures = {
        "streams": f"{status.streams}",
        "frames/s": f"{sum(recent.fps for recent in status.recent.values()):.0f}",
        "load": f"{status.load:.0%}",
        "real time": f"{status.realtime_ratio:.0%}",
        "frames sent": _count(totals.frames_sent),
        "late": _count(totals.frames_late),
        "dropped": _count(totals.frames_dropped),
        "lost": _count(totals.frames_lost),
        "refused": _count(totals.streams_refused),
    }
    return _PAGE.format(
        state=html.escape(status.state),
        refresh_s=_REFRESH_S,
        version=html.escape(status.version),
        uptime=_duration(status.uptime_s),
        addresses=html.escape(status.addresses),
        figures="".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items()),
        timed="×".join(map(str, _TIMED_SIZE)),
        loaded="\n".join(_loaded_row(entry, status.recent) for entry in entries if entry.loaded),
        others="\n".join(_other_row(entry) for entry in entries if not entry.loaded),
    ).encode()


def _loaded_row(entry: ModelEntry, recent: Mapping[str, RecentFrames]) -> str:
    frames = recent.get(entry.name)
    times = (
        [f"{frames.fps:.0f}", _milliseconds(frames.median_s), _milliseconds(frames.worst_s)] if frames else ["–"] * 3
    )
    cost = _milliseconds(entry.cost.of(_TIMED_SIZE[0] * _TIMED_SIZE[1])) if entry.cost else "–"
    return _row(
        _cell(entry.name),
        *(_cell(value, "n") for value in (*times, cost)),
        _cell(entry.backend, "wide"),
        _cell(_psnr(entry), "n wide"),
    )


def _other_row(entry: ModelEntry) -> str:
    spec = entry.spec
    return _row(
        _cell(entry.name),
        _cell(f"×{spec.scale}", "n"),
        _cell(f"{spec.parameters:,}", "n wide"),
        _cell(f"{spec.macs:,}", "n"),
        _cell(_psnr(entry), "n"),
        _cell(entry.backend, "wide"),
    )


def _row(*cells: str) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{html.escape(text)}</td>' if kind else f"<td>{html.escape(text)}</td>"


def _psnr(entry: ModelEntry) -> str:
    figures = entry.card.psnr.values()
    return f"{sum(figures) / len(figures):.2f}" if figures else "–"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _count(number: int) -> str:
    """Write a count short enough for its box: four digits of millions or thousands of millions, or all of it."""
    for unit, size in (("G", 10**9), ("M", 10**6)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number:,}"


def _duration(seconds: float) -> str:
    """Write a duration with its two largest units."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds % 60)} s"
