"""Models with made-up figures, for choosing and drawing."""

from __future__ import annotations

import numpy as np

from esr_upscale.models import resolve
from esr_workbench.pareto.choose import Place
from esr_workbench.pareto.measure import Measured, Size

SIZE = Size(960, 540)


def place(model: str, fps: float, psnr: float | None) -> Place:
    """A model that reaches `fps` with `psnr`."""
    return Place(Measured(resolve(model), "torch-cpu", SIZE, 1 / fps, 0.8 / fps), psnr)


def crowd() -> list[Place]:
    """A hundred models, many of them on the frontier, close to each other and far away."""
    rng = np.random.default_rng(2)
    names = [f"{family}_x{scale}" for family in ("bicubic", "espcn", "fsrcnn", "esr_cnn") for scale in (2, 3, 4)]
    names += [
        f"{family}_x{scale}_k{k}_c{c}"
        for family in ("esr_max", "esr_tm", "esr_tr")
        for scale in (2, 3, 4)
        for k in (3, 5, 7)
        for c in (1, 2, 4)
    ]
    cost = rng.uniform(0, 1, len(names))
    better = np.sqrt(cost) * 2.5 - np.abs(rng.normal(0, 0.04, len(names)))
    return [place(n, 300 / 10 ** (2 * c), 30.5 + b) for n, c, b in zip(names, cost, better, strict=True)]
