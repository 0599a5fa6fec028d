"""Entry point of the console script `esr`."""

from __future__ import annotations

from esr_upscale.entry import start


def esr() -> None:
    start("esr_workbench.cli", "esr", "train")
