"""Where `esr-client` enters."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from esr_client.cli import _administration, _compare, _upscale  # noqa: F401 -- each adds its commands to the application
from esr_client.cli._app import app


def main() -> None:
    """Run `esr-client` with the arguments of this process."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints a banner past FFmpeg's log; this is its only switch
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _exit)
    app()


def _exit(number: int, _frame: FrameType | None) -> None:
    # As an exception, so that an incomplete file is removed and a private server ended.
    sys.exit(128 + number)
