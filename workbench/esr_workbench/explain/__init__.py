"""The paper's interpretation figures of a model, as PNG files.

P. Navarrete Michelini, Y. Lu, X. Jiang, "edge-SR: Super-Resolution For The Masses", WACV 2022, arXiv 2108.10335.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights
from esr_upscale.replacement import replace_file
from esr_workbench.explain import figures
from esr_workbench.explain.arrays import both_forms, channels, filter_groups
from esr_workbench.explain.forms import forms_figure
from esr_workbench.explain.picture import synthetic_picture

__all__ = ["draw_figures", "explain", "figure_paths", "synthetic_picture"]

DPI = 130


def explain(spec: ModelSpec, weights: Weights, picture: NDArray[Any], out: Path) -> list[Path]:
    """Draw every figure of `spec` into `out` (made if missing), `<canonical id>_<figure>.png`, and return the paths.

    `picture` is the luma (H, W) in 0 … 1 that channels are shown on. Raises InvalidInputError for a family that has
    no such figures.
    """
    paths = figure_paths(spec, out)
    for path, figure in zip(paths, draw_figures(spec, weights, picture).values(), strict=True):
        with replace_file(path) as part:
            figure.savefig(part, dpi=DPI)
    return paths


def figure_paths(spec: ModelSpec, out: Path) -> list[Path]:
    """Return the files that `explain` writes into `out`. The last one shows what channels make of a picture."""
    last = {"bicubic": "forms", "esr_max": "winners"}.get(spec.family, "attention")
    return [out / f"{spec.canonical_id}_{name}.png" for name in ("phases", "filters", "frequency", last)]


def draw_figures(spec: ModelSpec, weights: Weights, picture: NDArray[Any]) -> dict[str, Figure]:
    """Return the figures of `explain` by name, not written."""
    groups, title = filter_groups(spec, weights), spec.paper_id
    common = {
        "phases": figures.phase_filters(title, groups),
        "filters": figures.upscaling_filters(title, groups),
        "frequency": figures.frequency_responses(title, groups),
    }
    if spec.family == "bicubic":
        return common | {"forms": forms_figure(title, picture, both_forms(spec.scale, picture))}
    result = channels(spec, weights, picture)
    if spec.family == "esr_max":
        return common | {"winners": figures.winners(f"{title}: winning filters", picture, result, shares=False)}
    return common | {"attention": figures.winners(f"{title}: attention", picture, result, shares=True)}
