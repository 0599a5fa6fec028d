"""The interpretation figures of one-layer networks: filters, frequency responses, and where each channel wins."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from esr_workbench.explain.arrays import Array, Channels, frequency_response, upscaling_filter

CELL = 1.75
"""Inches of a picture in a grid of filters."""
ACROSS = 8
"""Channels side by side, before a new row begins."""
DIVERGING, MAGNITUDE, SHARE = "RdBu_r", "magma", "viridis"


def phase_filters(title: str, groups: dict[str, Array]) -> Figure:
    """Draw every filter as its s² phases of K×K taps, laid out as the pixels they make. Groups are (C, s², K, K)."""
    figure, rows = _grid(f"{title}: filters, the s² phases of each as K×K taps", groups)
    palette = colormaps[DIVERGING].with_extremes(bad="0.25")  # for the gaps
    for name, axes in rows.items():
        limit = float(np.abs(groups[name]).max())
        for phases, axis in zip(groups[name], axes, strict=True):
            image = axis.imshow(_mosaic(phases), cmap=palette, vmin=-limit, vmax=limit)
        _bar(figure, axes, image, "weight")
    return figure


def upscaling_filters(title: str, groups: dict[str, Array]) -> Figure:
    """Draw every filter as the (s·K)×(s·K) upscaling filter that its phases are interleaved to."""
    figure, rows = _grid(f"{title}: (s·K)×(s·K) upscaling filters, to follow zero insertion", groups)
    for name, axes in rows.items():
        whole = [upscaling_filter(phases) for phases in groups[name]]
        limit = max(float(np.abs(taps).max()) for taps in whole)
        for taps, axis in zip(whole, axes, strict=True):
            image = axis.imshow(taps, cmap=DIVERGING, vmin=-limit, vmax=limit)
        _bar(figure, axes, image, "weight")
    return figure


def frequency_responses(title: str, groups: dict[str, Array]) -> Figure:
    """Draw |FFT| / s² of every upscaling filter: 1 at frequency 0 where a filter keeps brightness."""
    figure, rows = _grid(f"{title}: frequency responses |H|/s² (dashed: half the input's sampling rate)", groups)
    figure.supxlabel("cycles per output pixel, horizontally and vertically", fontsize=8)
    scale = round(next(iter(groups.values())).shape[1] ** 0.5)
    half = 0.5 / scale
    for name, axes in rows.items():
        responses = [frequency_response(upscaling_filter(phases)) / scale**2 for phases in groups[name]]
        limit = max(float(r.max()) for r in responses)
        for response, axis in zip(responses, axes, strict=True):
            image = axis.imshow(response, cmap=MAGNITUDE, vmin=0, vmax=limit, extent=(-0.5, 0.5, 0.5, -0.5))
            axis.add_patch(Rectangle((-half, -half), 2 * half, 2 * half, fill=False, ec="white", ls="--", lw=0.8))
            axis.set_xticks([-0.5, 0, 0.5], ["−½", "0", "½"], fontsize=7)
            axis.set_yticks([-0.5, 0, 0.5], ["−½", "0", "½"], fontsize=7)
        _bar(figure, axes, image, "|H| / s²")
    return figure


def winners(title: str, picture: NDArray[Any], result: Channels, *, shares: bool) -> Figure:
    """Draw input, output and the winning channel of every pixel, with the attention map of each if `shares`."""
    count = len(result.weights)
    across = max(3, min(count, 4))
    down = 1 + (-(-count // across) if shares else 0)
    figure = Figure(figsize=(3.1 * across + 1.2, 3.1 * down + 0.5), layout="constrained")
    figure.suptitle(title)
    spec = figure.add_gridspec(down, across)
    top = [figure.add_subplot(spec[0, i]) for i in range(3)]
    _show_luma(top[0], picture, f"input, {_size(picture)}")
    _show_luma(top[1], result.picture, f"output, {_size(result.picture)}")
    _winner_map(
        top[2], result, "winning filter, by share of pixels" if not shares else "winning channel (largest attention)"
    )
    if shares:
        axes = [figure.add_subplot(spec[1 + i // across, i % across]) for i in range(count)]
        for channel, (axis, share) in enumerate(zip(axes, result.weights, strict=True)):
            image = axis.imshow(share, cmap=SHARE, vmin=0, vmax=1)
            axis.set_title(f"attention of channel {channel}, mean {share.mean():.2f}", fontsize=9)
            _bare(axis)
        figure.colorbar(image, ax=axes, label="share of the pixel (softmax)", shrink=0.8)
    return figure


def _winner_map(axis: Axes, result: Channels, title: str) -> None:
    count = len(result.weights)
    colours = channel_colours(count)
    norm = BoundaryNorm(np.arange(count + 1) - 0.5, count)
    axis.imshow(result.winner, cmap=ListedColormap(colours), norm=norm, interpolation="nearest")
    shares = np.bincount(result.winner.ravel(), minlength=count) / result.winner.size
    names = [Patch(color=colours[c], label=f"channel {c}: {shares[c]:.0%}") for c in range(count)]
    axis.legend(handles=names, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, fontsize=7, frameon=False)
    axis.set_title(title, fontsize=9)
    _bare(axis)


def channel_colours(count: int) -> list[Any]:
    """Return a colour for every channel, all different up to 20."""
    palette = colormaps["tab10" if count <= 10 else "tab20"]
    return [palette(i % palette.N) for i in range(count)]


def _grid(title: str, groups: dict[str, Array]) -> tuple[Figure, dict[str, list[Axes]]]:
    # A block of rows for every group, a column for every channel.
    count = len(next(iter(groups.values())))
    across, down = min(count, ACROSS), -(-count // ACROSS)
    size = (max(CELL * across + 2.2, 0.085 * len(title)), (CELL + 0.25) * down * len(groups) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=10)
    spec = figure.add_gridspec(down * len(groups), across)
    rows = {}
    for g, name in enumerate(groups):
        axes = [figure.add_subplot(spec[g * down + c // across, c % across]) for c in range(count)]
        for c, axis in enumerate(axes):
            axis.set_title(f"{name} {c}" if count > 1 else name, fontsize=9)
            _bare(axis)
        rows[name] = axes
    return figure, rows


def _mosaic(phases: Array) -> Array:
    # s×s pictures of K×K, with a gap of one cell between them.
    count, kernel, _ = phases.shape
    scale, step = round(count**0.5), kernel + 1
    mosaic = np.full((scale * step - 1,) * 2, np.nan)
    for p, taps in enumerate(phases):
        y, x = p // scale * step, p % scale * step
        mosaic[y : y + kernel, x : x + kernel] = taps
    return mosaic


def _bar(figure: Figure, axes: list[Axes], image: ScalarMappable, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.9, aspect=14)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _show_luma(axis: Axes, picture: NDArray[Any], title: str) -> None:
    axis.imshow(picture, cmap="gray", norm=Normalize(0, 1))
    axis.set_title(title, fontsize=9)
    _bare(axis)


def _size(picture: NDArray[Any]) -> str:
    return f"{picture.shape[1]}×{picture.shape[0]}"


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
