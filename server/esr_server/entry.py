"""Where `esr-serve` enters."""

from __future__ import annotations

from esr_upscale.entry import start


def esr_serve() -> None:
    """Entry point of `esr-serve`."""
    start("esr_server.__main__", "esr-serve", "server")
