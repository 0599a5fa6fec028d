"""Where console scripts enter: a library of an extra that is not installed is a sentence, not a traceback."""

from __future__ import annotations

import importlib
import sys

OURS = ("esr_api", "esr_client", "esr_server", "esr_upscale", "esr_workbench")


def start(module: str, command: str, extra: str) -> None:
    """Run `main()` of `module`.

    Raises:
        SystemExit: a library that the extra brings is missing; the message says how to install it.
    """
    try:
        importlib.import_module(module).main()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in OURS:
            raise
        sys.exit(f'{command} needs {error.name}, which is not installed: pip install "edge-sr[{extra}]"')
