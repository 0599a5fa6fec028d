"""Commands that ask a server about itself: models, load, unload, status."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from esr_client._client import Client
from esr_client._connect import connect
from esr_client._private_server import DEFAULT_MODEL
from esr_client._results import ModelInfo
from esr_client.cli._app import DEFAULT_SERVER, RunningServerOption, ServerOption, Services, app, report_errors
from esr_client.cli._models_shown import model_details, models_json, named_model

_ADMIN_TOKEN = "ESR_ADMIN_TOKEN"
_LOAD_TIMEOUT_S = 600.0  # a small machine may compile kernels for minutes
_TIMED_SIZE = (960, 540)  # 1080p at ×2

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model; see `esr-client models`.")]


@app.command()
def models(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Show the details of this model and its card.")
    ] = None,
    server: ServerOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: an array of models, or one object.")] = False,
) -> None:
    """List the models that a server can run, its own weights first."""
    with report_errors(), Services(server) as services:
        client = services.client(DEFAULT_MODEL)
        rows = services.call(client, client.models)
        listing = rows if model is None else named_model(rows, model)
        if json:
            typer.echo(models_json(listing))
        else:
            Console(highlight=False).print(_table(listing) if isinstance(listing, tuple) else model_details(listing))


def _table(rows: tuple[ModelInfo, ...]) -> Table:
    sets = sorted({name for row in rows for name in row.psnr_db})
    psnr = [f"dB on\n{name}" for name in sets]
    timed = any(row.seconds_for(*_TIMED_SIZE) for row in rows)
    times = [f"ms for\n{_TIMED_SIZE[0]}x{_TIMED_SIZE[1]}"] if timed else []
    # What is timed is loaded: one column says both, and the table keeps to 100 columns.
    names = ("model", "alias", "scale", "params", "MACs\n/px", *psnr, "backend", *(times or ["loaded"]))
    table = Table(*names, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for row in rows:
        numbers = (f"x{row.scale}", f"{row.parameters:,}", f"{row.macs_per_pixel:,}")
        quality = [f"{row.psnr_db[name]:.2f}" if name in row.psnr_db else "" for name in sets]
        ready = "yes" if row.loaded else ""
        if timed:
            seconds = row.seconds_for(*_TIMED_SIZE)
            ready = f"{1000 * seconds:.2f}" if seconds else ""
        table.add_row(row.model, row.alias, *numbers, *quality, row.backend, ready)
    return table


@app.command()
def load(model: ModelArgument, server: RunningServerOption = DEFAULT_SERVER) -> None:
    """Load a model into a running server. The admin token is read from ESR_ADMIN_TOKEN."""
    _administer(server, lambda client: client.load_model(model, timeout_s=_LOAD_TIMEOUT_S))


@app.command()
def unload(model: ModelArgument, server: RunningServerOption = DEFAULT_SERVER) -> None:
    """Unload a model from a running server. The admin token is read from ESR_ADMIN_TOKEN."""
    _administer(server, lambda client: client.unload_model(model))


def _administer(server: str, call: Callable[[Client], ModelInfo]) -> None:
    with report_errors(), Services(server) as services:
        # Not from an option: everyone on this machine can see those.
        token = os.environ.get(_ADMIN_TOKEN, "").strip()
        if not token:
            raise ValueError(f"{_ADMIN_TOKEN} is not set; it must hold the token that the server was started with")
        with connect(server, admin_token=token) as client:
            info = services.call(client, lambda: call(client))
        typer.echo(f"{info.model}: {f'loaded on {info.backend}' if info.loaded else 'not loaded'}")


@app.command()
def status(server: RunningServerOption = DEFAULT_SERVER) -> None:
    """Print a server's health. The exit code is 0 only if it serves."""
    with report_errors(), Services(server) as services:
        client = services.client(DEFAULT_MODEL)
        health = services.call(client, client.status)
        for name, state in (("server", health.overall), *health.services.items()):
            typer.echo(f"{name}: {state.value}")
    raise typer.Exit(0 if health.serving else 1)
