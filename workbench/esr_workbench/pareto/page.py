"""The figure and its table as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import html
import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from esr_workbench.pareto.chart import Chart

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
METADATA = ("Creator", "Date", "Format", "Type")
"""What matplotlib would say of itself in an SVG."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem; padding: 0 1rem; color: #222 }}
svg {{ width: 100%; height: auto }}
table {{ border-collapse: collapse; margin-top: 1rem }}
th, td {{ padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
</style>
</head>
<body>
<h1>{title}</h1>
{svg}
<p>{notes}</p>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def page(chart: Chart, figure: Figure, head: Sequence[str], rows: Sequence[Sequence[str]], notes: str) -> str:
    """Return the page, with the table of all models below the figure. What a point is shows when the mouse is on it."""
    texts = (", ".join(f"{name} {value}" for name, value in zip(head, row, strict=True)) for row in rows)
    titles = dict(zip((place.measured.spec.canonical_id for place in chart.places), texts, strict=True))
    return PAGE.format(
        title=html.escape(f"Quality and speed on {chart.machine}"),
        svg=svg(figure, titles),
        notes=html.escape(notes),
        head=_cells("th", head),
        rows="\n".join(f"<tr>{_cells('td', row)}</tr>" for row in rows),
    )


def svg(figure: Figure, titles: dict[str, str]) -> str:
    """Return a figure as an SVG element; artists whose gid is in `titles` say that when the mouse is on them."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "esr"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(METADATA))
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(buffer.getvalue())
    for group in root.iter(f"{{{SVG}}}g"):
        tooltip = titles.get(group.get("id", ""))
        if tooltip is not None:
            title = ET.Element(f"{{{SVG}}}title")
            title.text = tooltip
            group.insert(0, title)
    return ET.tostring(root, encoding="unicode")


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
