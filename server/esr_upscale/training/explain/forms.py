"""The figure of the paper's two forms of a linear upscaler, which are one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from esr_upscale.training.explain.arrays import Array, BothForms


def forms_figure(title: str, picture: NDArray[Any], forms: BothForms) -> Figure:
    """Both ways from `picture` (H, W) to the same output, a row each, and the difference. Pictures are in 0 … 1."""
    figure = Figure(figsize=(12.5, 6.6), layout="constrained")
    figure.suptitle(f"{title}: both forms of the upscaler; largest difference {forms.difference:.1e} (of 1)")
    axes = figure.subplots(2, 4)
    _luma(axes[0, 0], picture, "input")
    _luma(axes[0, 1], _zoom(forms.comb), "zeros inserted (enlarged part)")
    _luma(axes[0, 2], forms.zero_insert, "form 1: zeros inserted, then filtered")
    _luma(axes[1, 0], picture, "input")
    _luma(axes[1, 1], _tiles(forms.phases), "filtered: the s² phases side by side")
    _luma(axes[1, 2], forms.shuffled, "form 2: filtered, then pixel shuffle")
    _difference(figure, axes[0, 3], forms)
    _profile(axes[1, 3], forms)
    return figure


def _difference(figure: Figure, axis: Axes, forms: BothForms) -> None:
    difference = np.abs(forms.zero_insert - forms.shuffled)
    shown = axis.imshow(difference, cmap="magma", vmin=0, vmax=max(forms.difference, np.finfo(float).tiny))
    axis.set_title("|form 1 − form 2|", fontsize=9)
    _bare(axis)
    figure.colorbar(shown, ax=axis, shrink=0.8, format="%.0e")


def _profile(axis: Axes, forms: BothForms) -> None:
    row = forms.shuffled.shape[0] // 4
    axis.plot(forms.zero_insert[row], lw=2.5, color="0.7", label="form 1")
    axis.plot(forms.shuffled[row], lw=1, ls="--", color="C3", label="form 2")
    axis.set_title(f"row {row} of both", fontsize=9)
    axis.set_xlabel("column", fontsize=8)
    axis.set_ylabel("luma", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=8)


def _zoom(comb: Array, size: int = 48) -> Array:
    # At its full size a comb is a grey noise in print. A little in from the corner there is something to see.
    y, x = (min(n // 16, max(0, n - size)) for n in comb.shape)
    return comb[y : y + size, x : x + size]


def _tiles(phases: Array) -> Array:
    count, height, width = phases.shape
    scale = round(count**0.5)
    return phases.reshape(scale, scale, height, width).swapaxes(1, 2).reshape(scale * height, scale * width)


def _luma(axis: Axes, picture: NDArray[Any], title: str) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    _bare(axis)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
