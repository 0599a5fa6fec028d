"""Where `esr-serve` enters."""

from __future__ import annotations

import signal

from esr_upscale.entry import start


def esr_serve() -> None:
    # Ctrl-C while libraries are imported ends the process without a traceback; later it makes the server drain.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    start("esr_server.__main__", "esr-serve", "server")
