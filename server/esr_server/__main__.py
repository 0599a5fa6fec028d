"""The command `esr-serve`."""

from __future__ import annotations

import asyncio
import logging
import os
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from esr_api.address import HTTP_PORT, parse_address
from esr_server.app import StartEndedError, serve
from esr_server.config import (
    DEFAULT_ISOLATION,
    CapacitySettings,
    CodecIsolation,
    Limits,
    SchedulerSettings,
    ServerSettings,
)
from esr_server.errors import ServiceError
from esr_server.models.catalog import split_models
from esr_server.telemetry import logs
from esr_server.telemetry.logs import LogFormat
from esr_upscale.engine import BACKEND_NAMES, DEVICES, EngineSettings
from esr_upscale.errors import UpscaleError
from esr_upscale.models import DEFAULT_MODEL

_log = logging.getLogger("esr_server")

_TOKEN = "ESR_ADMIN_TOKEN"
_MOST_THREADS = 1024
_MOST_PIXELS = 2**31 - 1  # of FFmpeg


class LogLevel(StrEnum):
    """Levels of `--log-level`."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"esr-serve {version('edge-sr')}")
        raise typer.Exit


def esr_serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=FILE]",
            help="Model, or a name and file for your own weights; loaded at start, the first is the default. "
            f"[default: {DEFAULT_MODEL}]",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of your own weights, served under their file names without .safetensors."
        ),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(help="Address of gRPC, HOST[:PORT] or unix:PATH; may be repeated. [default: 127.0.0.1:50051]"),
    ] = None,
    http: Annotated[
        str, typer.Option(help="Address of HTTP for /metrics, /healthz, /readyz and the status page, HOST[:PORT].")
    ] = "127.0.0.1:9109",
    no_http: Annotated[bool, typer.Option("--no-http", help="Do not serve HTTP.")] = False,
    backend: Annotated[str, typer.Option(help=f"Backend that runs the models: {', '.join(BACKEND_NAMES)}.")] = "auto",
    device: Annotated[str, typer.Option(help=f"Device that runs the models: {', '.join(DEVICES)}.")] = "cpu",
    threads: Annotated[
        int, typer.Option(min=0, max=_MOST_THREADS, help="Threads for one frame; 0 is one for each processor.")
    ] = 0,
    kernels: Annotated[
        Path | None, typer.Option(help="Directory of kernels from `esr compile`, for a device without Halide.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, max=_MOST_THREADS, help="Number of frames upscaled at the same time, over all streams."),
    ] = SchedulerSettings().workers,
    max_streams: Annotated[
        int, typer.Option(min=1, help="Maximum number of concurrent streams; others are refused.")
    ] = SchedulerSettings().max_streams,
    max_load: Annotated[
        float, typer.Option(help="Maximum fraction of the machine that streams with a declared rate may reserve.")
    ] = CapacitySettings().max_load,
    max_pixels: Annotated[
        int, typer.Option(min=1, max=_MOST_PIXELS, help="Maximum number of pixels of an input picture.")
    ] = Limits().max_pixels,
    max_output_pixels: Annotated[
        int, typer.Option(min=1, max=_MOST_PIXELS, help="Maximum number of pixels of an output picture.")
    ] = Limits().max_output_pixels,
    no_shared_memory: Annotated[
        bool, typer.Option("--no-shared-memory", help="Do not use shared memory for clients on this host.")
    ] = False,
    codec_isolation: Annotated[
        CodecIsolation,
        typer.Option(help="Where decoders and encoders run: in a process for each, or in the server's."),
    ] = DEFAULT_ISOLATION,
    codec_timeout: Annotated[
        float, typer.Option(help="Seconds that a codec in its own process may take for one packet or frame.")
    ] = ServerSettings().codec_timeout_s,
    keepalive: Annotated[
        float, typer.Option(help="Seconds without traffic before the server pings a client.")
    ] = ServerSettings().keepalive_s,
    grace: Annotated[float, typer.Option(help="Seconds for running streams to finish after SIGTERM.")] = 30.0,
    exit_with_stdin: Annotated[
        bool, typer.Option("--exit-with-stdin", help="Drain when standard input ends, as a private server does.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False, help="Lowest level to log.")] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option(case_sensitive=False, help="Log format; json writes one object per line.")
    ] = LogFormat.TEXT,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serve video upscaling over gRPC, and metrics over HTTP."""
    # SVT-AV1 writes past FFmpeg's log: its banner, and a line for each stream that is cancelled. FFmpeg tells errors.
    os.environ.setdefault("SVT_LOG", "0")
    logs.configure(log_level.value, log_format)
    defaults = ServerSettings()
    try:
        names, own_models = split_models(model or defaults.models)
        settings = ServerSettings(
            listen=tuple(map(parse_address, listen)) if listen else defaults.listen,
            http=None if no_http else parse_address(http, HTTP_PORT),
            models=names,
            own_models=own_models,
            weights=weights,
            engine=EngineSettings(backend=backend, device=device, threads=threads, kernels=kernels),
            limits=Limits(max_pixels=max_pixels, max_output_pixels=max_output_pixels),
            scheduler=SchedulerSettings(workers=workers, max_streams=max_streams),
            capacity=CapacitySettings(max_load=max_load),
            admin_token=os.environ.get(_TOKEN) or None,
            shared_memory=not no_shared_memory,
            codec_isolation=codec_isolation,
            codec_timeout_s=codec_timeout,
            keepalive_s=keepalive,
            grace_s=grace,
        )
        asyncio.run(serve(settings, until_stdin_closes=exit_with_stdin))
    except StartEndedError as ended:
        _log.info("ended while loading models")
        logging.shutdown()
        os._exit(ended.exit_code)  # an ordinary exit would wait for the thread that loads a model
    except (UpscaleError, ServiceError, OSError, ValueError) as error:
        typer.echo(f"esr-serve: {error}", err=True)
        raise typer.Exit(2) from error


def main() -> None:
    """Run `esr-serve` from the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(context_settings={"help_option_names": ["-h", "--help"]})(esr_serve)
    app()


if __name__ == "__main__":
    main()
