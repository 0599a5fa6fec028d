"""The figure: quality against frames per second, one part for each scale, with the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, LogLocator
from matplotlib.transforms import Bbox

from esr_upscale.models import FAMILIES
from esr_upscale.replacement import replace_file
from esr_workbench.pareto.choose import Place, Target, frontier

DPI = 130
MARKERS = "osD^vP*XhdpH"
PALETTE = colormaps["tab10"]
POINT_PX = 5
"""Half the side of the square that a point takes up."""
LABEL_STEP = 3.0
"""Points (1/72 inch) that a label is moved up at a time until it is clear of the others."""
LABEL_STEPS = 10
"""Places that are tried for a label; further up it would not be seen whose it is."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What a figure shows."""

    places: tuple[Place, ...]
    machine: str
    """Name of the machine, its threads, and what else the title should say."""
    target: Target | None = None
    """A frame rate to mark."""

    def scales(self) -> list[int]:
        """Return the scales of all models, sorted."""
        return sorted({place.measured.spec.scale for place in self.places})

    def places_at(self, scale: int) -> list[Place]:
        return [place for place in self.places if place.measured.spec.scale == scale]


def draw_chart(chart: Chart) -> Figure:
    """Draw the places whose quality is known. A point has the canonical id as its gid, for an SVG to find it by."""
    scales = chart.scales()
    figure = Figure(figsize=(4.9 * len(scales) + 0.6, 5.2), layout="constrained")
    figure.suptitle(f"Quality and speed on {chart.machine}", fontsize=11)
    parts = figure.subplots(1, len(scales), squeeze=False)[0]
    labels = {axes: _scale(axes, scale, chart) for axes, scale in zip(parts, scales, strict=True)}
    parts[0].set_ylabel("mean PSNR of luma, dB")
    figure.legend(handles=_legend(chart), loc="outside lower center", ncols=3 * len(scales), fontsize=9, frameon=False)
    figure.draw_without_rendering()
    for axes, labels_of_scale in labels.items():
        _spread(axes, labels_of_scale)
    return figure


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file."""
    with replace_file(path) as part:
        figure.savefig(part, dpi=DPI)


def _scale(axes: Axes, scale: int, chart: Chart) -> list[Annotation]:
    places = chart.places_at(scale)
    size = places[0].measured.size
    axes.set_title(f"×{scale}: {size} → {size.times(scale)}", fontsize=10)
    axes.set_xlabel("frames per second, luma and chroma (log)")
    axes.set_xscale("log")
    axes.grid(alpha=0.25, which="both", lw=0.5)
    best = frontier(places)
    line = [(place.measured.fps, place.psnr) for place in best if place.psnr is not None]
    axes.plot([x for x, _ in line], [y for _, y in line], color="0.45", lw=1, ls="--", zorder=1)
    for place in places:
        _point(axes, place, on_frontier=place in best)
    if chart.target:
        axes.axvline(chart.target.rate, color="C3", lw=1, ls=":", zorder=1)
    _room(axes, places)
    labels = []
    for place, point in zip(best, line, strict=True):
        spec = place.measured.spec
        hyper = spec.canonical_id.split(f"_x{scale}")[1].replace("_", " ").strip().upper()
        text = f"{spec.family_spec.paper_name} {hyper}".strip()
        thread = {"arrowstyle": "-", "lw": 0.5, "color": "0.4", "shrinkA": 0, "shrinkB": 4}
        label = axes.annotate(
            text, point, (6, 5), textcoords="offset points", fontsize=7.5, arrowprops=thread, zorder=3
        )
        label.set_in_layout(False)
        labels.append(label)
    return labels


def _point(axes: Axes, place: Place, *, on_frontier: bool) -> None:
    if place.psnr is None:
        return
    spec = place.measured.spec
    colour, marker = family_style(spec.family)
    edge = "black" if on_frontier else colour
    alpha = 1.0 if on_frontier else 0.55
    x, y = [place.measured.fps], [place.psnr]
    axes.plot(x, y, marker, color=colour, mec=edge, mew=1.1, ms=8, alpha=alpha, gid=spec.canonical_id, zorder=2)


def family_style(family: str) -> tuple[tuple[float, float, float, float], str]:
    """Return colour and marker of a family, the same in every chart."""
    index = list(FAMILIES).index(family)
    return PALETTE(index % PALETTE.N), MARKERS[index % len(MARKERS)]


def _room(axes: Axes, places: Sequence[Place]) -> None:
    # Labels lie to the upper right of their points, so there must be some space on those sides.
    rates = [place.measured.fps for place in places]
    decades = max(max(rates) / min(rates), 4.0)
    axes.set_xlim(min(rates) / decades**0.08, max(rates) * decades**0.28)
    psnrs = [place.psnr for place in places if place.psnr is not None]
    if psnrs:
        height = max(max(psnrs) - min(psnrs), 0.2)
        axes.set_ylim(min(psnrs) - 0.08 * height, max(psnrs) + 0.14 * height)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter("")


def _spread(axes: Axes, labels: Sequence[Annotation]) -> None:
    """Move labels up until none lies on another or on a point of the frontier; hide one that finds no free place."""
    centres = [axes.transData.transform(label.xy) for label in labels]
    obstacles = [Bbox.from_bounds(x - POINT_PX, y - POINT_PX, 2 * POINT_PX, 2 * POINT_PX) for x, y in centres]
    step_px = LABEL_STEP * axes.figure.dpi / 72
    # The fastest and the best model come first: where all cannot be named, these are.
    for label in [*labels[:1], *labels[:0:-1]]:
        # An Annotation's own extent has the thread to the point in it, which would never come clear of the point.
        start = Text.get_window_extent(label)
        boxes = [start.translated(0, n * step_px) for n in range(LABEL_STEPS)]
        free = (n for n, box in enumerate(boxes) if not any(box.overlaps(other) for other in obstacles))
        steps = next(free, None)
        if steps is None or boxes[steps].x1 > axes.bbox.x1 or boxes[steps].y1 > axes.bbox.y1:
            label.set_visible(False)
            continue
        x, y = label.get_position()
        label.set_position((x, y + steps * LABEL_STEP))
        if label.arrow_patch:
            label.arrow_patch.set_visible(steps > 0)
        obstacles.append(boxes[steps])


def _legend(chart: Chart) -> list[Line2D]:
    families = sorted({place.measured.spec.family for place in chart.places})
    handles = []
    for family in families:
        colour, marker = family_style(family)
        name = FAMILIES[family].paper_name
        handles.append(Line2D([], [], color=colour, marker=marker, ls="", ms=7, label=name))
    handles.append(Line2D([], [], color="0.45", ls="--", lw=1, label="frontier: nothing is better in both"))
    if chart.target:
        handles.append(Line2D([], [], color="C3", ls=":", lw=1, label=f"{chart.target.rate:g} frames per second"))
    return handles
