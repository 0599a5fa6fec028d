"""`esr-client`: video, pictures and a server's models, from the command line."""

from esr_client.cli._app import app
from esr_client.cli._main import main

__all__ = ["app", "main"]
