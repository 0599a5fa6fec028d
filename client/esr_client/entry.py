"""Where `esr-client` enters. A library that is not installed is a sentence, not a traceback."""

from __future__ import annotations

import sys

_OURS = ("esr_api", "esr_client")


def main() -> None:
    """Run `esr-client`.

    Raises:
        SystemExit: a library of the command line is missing; the message says how to install it.
    """
    try:
        from esr_client.cli import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        sys.exit(f'esr-client needs {error.name}, which is not installed: pip install "edge-sr-client[files]"')
    run()
