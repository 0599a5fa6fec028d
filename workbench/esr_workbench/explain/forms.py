"""The figure of the paper's two forms of a linear upscaler, which are one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from esr_workbench.explain.arrays import BothForms

ZOOM_PX = 48
"""Pixels on a side of the part that is enlarged."""


def forms_figure(title: str, picture: NDArray[Any], forms: BothForms) -> Figure:
    """Draw both ways from `picture` (H, W) to the same output, a row each, and the difference. Values are in 0 … 1."""
    figure = Figure(figsize=(12.5, 6.6), layout="constrained")
    figure.suptitle(f"{title}: both forms of the upscaler; largest difference {forms.difference:.1e} (of 1)")
    axes = figure.subplots(2, 4)
    _luma(axes[0, 0], picture, "input")
    # At its full size a comb is a grey noise in print. A little in from the corner there is something to see.
    y, x = (min(n // 16, max(0, n - ZOOM_PX)) for n in forms.comb.shape)
    _luma(axes[0, 1], forms.comb[y : y + ZOOM_PX, x : x + ZOOM_PX], "zeros inserted (enlarged part)")
    _luma(axes[0, 2], forms.zero_insert, "form 1: zeros inserted, then filtered")
    _luma(axes[1, 0], picture, "input")
    count, height, width = forms.phases.shape
    scale = round(count**0.5)
    phases = forms.phases.reshape(scale, scale, height, width).swapaxes(1, 2)
    _luma(axes[1, 1], phases.reshape(scale * height, scale * width), "filtered: the s² phases side by side")
    _luma(axes[1, 2], forms.shuffled, "form 2: filtered, then pixel shuffle")
    difference = np.abs(forms.zero_insert - forms.shuffled)
    image = axes[0, 3].imshow(difference, cmap="magma", vmin=0, vmax=max(forms.difference, np.finfo(float).tiny))
    axes[0, 3].set_title("|form 1 − form 2|", fontsize=9)
    _bare(axes[0, 3])
    figure.colorbar(image, ax=axes[0, 3], shrink=0.8, format="%.0e")
    _profile(axes[1, 3], forms)
    return figure


def _profile(axis: Axes, forms: BothForms) -> None:
    row = forms.shuffled.shape[0] // 4
    axis.plot(forms.zero_insert[row], lw=2.5, color="0.7", label="form 1")
    axis.plot(forms.shuffled[row], lw=1, ls="--", color="C3", label="form 2")
    axis.set_title(f"row {row} of both", fontsize=9)
    axis.set_xlabel("column", fontsize=8)
    axis.set_ylabel("luma", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=8)


def _luma(axis: Axes, picture: NDArray[Any], title: str) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    _bare(axis)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
