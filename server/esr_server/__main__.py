"""`esr-serve`: the composition root, the one module that imports every layer."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from esr_api.address import HTTP_PORT, parse_address
from esr_server import heap, status
from esr_server.capacity import Capacity, CapacitySettings, Demand
from esr_server.catalog import Catalog, split_models
from esr_server.config import Limits, SchedulerSettings, ServerSettings
from esr_server.errors import ServiceError
from esr_server.http import HttpServer, Page
from esr_server.metrics import Metrics
from esr_server.models import ModelPool, ServedModel
from esr_server.rpc.call import Services
from esr_server.rpc.server import GrpcServer
from esr_server.scheduler import Scheduler
from esr_upscale.engine import BACKENDS, DEVICES, EngineSettings, check_installed
from esr_upscale.errors import UpscaleError
from esr_upscale.models import DEFAULT_MODEL

_log = logging.getLogger("esr_server")

_SIZES = ((480, 270), (960, 540), (1280, 720), (1920, 1080))
_FPS = 30.0
_TOKEN = "ESR_ADMIN_TOKEN"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_MOST_THREADS = 1024
_MOST_PIXELS = 2**31 - 1  # of FFmpeg
_SWITCH_S = 0.0005
"""How long the event loop may keep the interpreter from a worker that has upscaled a frame, or the other way round.
Python's own 5 ms are as long as several frames; with a tenth of that a stream ran 3 % faster.
"""


class Server:
    """The whole service in one process. Make, start and stop it on one event loop."""

    def __init__(self, settings: ServerSettings) -> None:
        """Check the settings and bind every address; models are loaded by `start`. Make it on its event loop.

        Raises:
            UpscaleError: a model is unknown, or what the engine needs is not there.
            OSError: an address cannot be bound; ValueError: HTTP cannot be served on such an address.
        """
        self.settings = settings
        self._began_s = time.monotonic()
        self.metrics = Metrics()
        self.scheduler = Scheduler(settings.scheduler, at_rest=self._at_rest, starting=True)
        catalog = Catalog(settings.own_models, settings.weights)
        self.models = ModelPool(settings.engine, settings.models[0], self.metrics, catalog)
        for name in settings.models:
            self.models.check(name)
        check_installed(settings.engine)
        frames_at_once = max(1, (os.cpu_count() or 1) // settings.engine.threads_of_frame)
        self.capacity: Capacity[ServedModel] = Capacity(settings.capacity, frames_at_once)
        self.metrics.watch_capacity(lambda: self.capacity.load, self._accepts)
        self.grpc = GrpcServer(Services(settings, self.models, self.scheduler, self.capacity, self.metrics))
        self.http = HttpServer(settings.http, self._routes()) if settings.http else None

    async def start(self) -> None:
        """Answer gRPC and HTTP at once, as a server that starts; load the models; then serve.

        Raises:
            UpscaleError: a model cannot run here.
        """
        await self.grpc.start()
        if self.http:
            self.http.start()
        await self.scheduler.load(self._load_models)
        self.scheduler.open()
        await self.grpc.say_serving()

    def _at_rest(self) -> bool:
        heap.give_back()
        return self.models.measure_again(lambda: not self.scheduler.active)

    def _load_models(self) -> None:
        for name in self.settings.models:
            self.models.get(name)

    async def stop(self, grace_s: float | None = None) -> bool:
        """Drain and end. Returns whether every stream finished within `grace_s` (else the settings') seconds."""
        finished = await self.grpc.stop(self.settings.grace_s if grace_s is None else grace_s)
        if self.http:
            await asyncio.to_thread(self.http.close)
        self.scheduler.close()
        return finished

    def _accepts(self) -> Iterable[tuple[str, str, bool]]:
        """For each loaded model and size: its name, the size, and whether one more stream of it would be taken in."""
        for model in self.models.loaded:
            for width, height in _SIZES:
                yield model.name, f"{width}x{height}", self.capacity.fits(Demand((model,), _FPS, width * height))

    def _routes(self) -> dict[str, Callable[[str], Page]]:
        return {"/": self._status, "/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}

    def _status(self, _accept: str) -> Page:
        shown = status.Status(
            state=self.scheduler.state,
            version=version("edge-sr"),
            uptime_s=time.monotonic() - self._began_s,
            addresses=str(self),
            streams=self.scheduler.active,
            load=self.capacity.load,
            realtime_ratio=self.metrics.realtime_ratio,
            totals=self.metrics.totals(),
            recent=self.metrics.recent(),
        )
        return Page(status.render(shown, self.models.entries()), "text/html; charset=utf-8")

    def _metrics(self, accept: str) -> Page:
        return Page(*self.metrics.render(accept))

    def _healthz(self, _accept: str) -> Page:
        return Page(b"ok\n")

    def _readyz(self, _accept: str) -> Page:
        state = self.scheduler.state
        if state == "serving":
            return Page(b"ready\n")
        return Page(f"{state}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)

    def __str__(self) -> str:
        """Say where it is served, with the ports that were bound."""
        listen = (
            address if address.path else dataclasses.replace(address, port=port)
            for address, port in zip(self.settings.listen, self.grpc.ports, strict=True)
        )
        http = (
            dataclasses.replace(self.settings.http, port=self.http.port) if self.http and self.settings.http else None
        )
        return f"gRPC on {', '.join(map(str, listen))}, " + (f"HTTP on http://{http}" if http else "no HTTP")


class StartEndedError(Exception):
    """A signal, or the end of standard input, came while models were being loaded."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


async def serve(settings: ServerSettings, *, until_stdin_closes: bool = False) -> None:
    """Serve until SIGTERM, SIGINT or, if asked, the end of standard input; then drain and return.

    Raises:
        StartEndedError: one of these came before the models were loaded. A thread may still be loading one.
        UpscaleError, OSError, ValueError: as of Server.
    """
    sys.setswitchinterval(_SWITCH_S)
    heap.keep_freed_pages()
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()

    def end(exit_code: int) -> None:
        if not stop.done():
            stop.set_result(exit_code)

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, end, 128 + number)
    loop.add_signal_handler(signal.SIGHUP, _log.info, "SIGHUP is ignored: there is nothing to reload")
    if until_stdin_closes:
        _watch_stdin(lambda: loop.call_soon_threadsafe(end, 0))
    server = Server(settings)
    _log.info("edge-sr %s loads %s; %s", version("edge-sr"), ", ".join(settings.models), server)
    start = asyncio.create_task(server.start())
    try:
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            raise StartEndedError(stop.result())
        await start
        _log.info("edge-sr %s serves %s; %s", version("edge-sr"), ", ".join(settings.models), server)
        await stop
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        _log.info("draining: running streams have %g s", settings.grace_s)
    finally:
        finished = await server.stop(settings.grace_s if start.done() else 0)
    if not finished:
        _log.warning("streams that had not finished after %g s were ended", settings.grace_s)


def _watch_stdin(closed: Callable[[], object]) -> None:
    """Call `closed` when standard input ends: a parent that dies, however, takes its private server along."""

    def watch() -> None:
        # Not through sys.stdin: a thread that reads it holds its lock, and ending the process would be a fatal error.
        while os.read(0, 4096):
            pass
        closed()

    threading.Thread(target=watch, name="esr-stdin", daemon=True).start()


class LogLevel(StrEnum):
    """Levels of `--log-level`."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"esr-serve {version('edge-sr')}")
        raise typer.Exit


def esr_serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=FILE]",
            help="Model, or own weights and a name for them; loaded at start, the first is the default. "
            f"[default: {DEFAULT_MODEL}]",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of own weights, served under their file names without .safetensors."),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(help="Address of gRPC, HOST[:PORT] or unix:PATH; may be repeated. [default: 127.0.0.1:50051]"),
    ] = None,
    http: Annotated[
        str, typer.Option(help="Address of HTTP for /metrics, /healthz, /readyz and the status page, HOST[:PORT].")
    ] = "127.0.0.1:9109",
    no_http: Annotated[bool, typer.Option("--no-http", help="Do not serve HTTP.")] = False,
    backend: Annotated[str, typer.Option(help=f"Backend that runs the models: {', '.join(BACKENDS)}.")] = "auto",
    device: Annotated[str, typer.Option(help=f"Device that runs the models: {', '.join(DEVICES)}.")] = "cpu",
    threads: Annotated[
        int, typer.Option(min=0, max=_MOST_THREADS, help="Threads for one frame; 0 is one for each processor.")
    ] = 0,
    kernels: Annotated[
        Path | None, typer.Option(help="Directory of kernels from `esr compile`, for a device without Halide.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, max=_MOST_THREADS, help="Frames that are upscaled at the same time, of all streams together."
        ),
    ] = SchedulerSettings().workers,
    max_streams: Annotated[
        int, typer.Option(min=1, help="Maximum number of concurrent streams; others are refused.")
    ] = SchedulerSettings().max_streams,
    max_load: Annotated[
        float, typer.Option(help="Share of the machine that streams with a declared rate may reserve together.")
    ] = CapacitySettings().max_load,
    max_pixels: Annotated[
        int, typer.Option(min=1, max=_MOST_PIXELS, help="Maximum number of pixels of an input picture.")
    ] = Limits().max_pixels,
    max_output_pixels: Annotated[
        int, typer.Option(min=1, max=_MOST_PIXELS, help="Maximum number of pixels of an output picture.")
    ] = Limits().max_output_pixels,
    no_shared_memory: Annotated[
        bool, typer.Option("--no-shared-memory", help="Send frames of clients on this host in messages too.")
    ] = False,
    keepalive: Annotated[
        float, typer.Option(help="Seconds of silence after which a client gets a ping.")
    ] = ServerSettings().keepalive_s,
    grace: Annotated[float, typer.Option(help="Seconds that running streams get to finish after SIGTERM.")] = 30.0,
    exit_with_stdin: Annotated[
        bool, typer.Option("--exit-with-stdin", help="Drain when standard input ends, as a private server does.")
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="Lowest level that is logged.")
    ] = LogLevel.INFO,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serve video upscaling over gRPC, and metrics over HTTP."""
    # SVT-AV1 writes past FFmpeg's log: its banner, and a line for each stream that is cancelled. FFmpeg tells errors.
    os.environ.setdefault("SVT_LOG", "0")
    logging.basicConfig(level=log_level.value, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
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
    """Entry point of `esr-serve`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(context_settings={"help_option_names": ["-h", "--help"]})(esr_serve)
    app()


if __name__ == "__main__":
    main()
