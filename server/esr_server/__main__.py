"""`esr-serve`: the composition root, the one place that knows every room."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer

from esr_api.address import HTTP_PORT, parse_address
from esr_server import heap, status
from esr_server.capacity import Capacity, CapacitySettings, Demand
from esr_server.config import Limits, SchedulerSettings, ServerSettings
from esr_server.http import HttpServer, Page
from esr_server.metrics import Metrics
from esr_server.models import ModelPool, ServedModel
from esr_server.rpc.call import House
from esr_server.rpc.server import GrpcServer
from esr_server.scheduler import Scheduler
from esr_upscale.engine import DEVICES, ENGINES, EngineSettings
from esr_upscale.errors import UpscaleError

_log = logging.getLogger("esr_server")

_SIZES = ((480, 270), (960, 540), (1280, 720), (1920, 1080))
_FPS = 30.0
_TOKEN = "ESR_ADMIN_TOKEN"
_SWITCH_S = 0.0005
"""How long the event loop may keep the interpreter from a worker that has upscaled a frame, or the other way round.
Python's own 5 ms are as long as several frames; with a tenth of that a stream ran 3 % faster.
"""


class Server:
    """The whole service in one process. Make, start and stop it on one event loop."""

    def __init__(self, settings: ServerSettings) -> None:
        """Load the models and bind every address.

        Raises:
            UpscaleError: a model is unknown or cannot run here; OSError: an address cannot be bound.
        """
        self.settings = settings
        self.metrics = Metrics()
        self.scheduler = Scheduler(settings.scheduler, at_rest=heap.give_back)
        self.models = ModelPool(settings.engine, settings.models[0], self.metrics)
        for name in settings.models:
            self.models.get(name)
        frames_at_once = max(1, (os.cpu_count() or 1) // settings.engine.threads_of_frame)
        self.capacity: Capacity[ServedModel] = Capacity(settings.capacity, frames_at_once)
        self.metrics.watch_capacity(lambda: self.capacity.load, self._accepts)
        self.grpc = GrpcServer(House(settings, self.models, self.scheduler, self.capacity, self.metrics))
        self.http = HttpServer(settings.http, self._routes()) if settings.http else None

    async def start(self) -> None:
        """Serve gRPC and HTTP from now on."""
        await self.grpc.start()
        if self.http:
            self.http.start()

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
        state = "draining" if self.scheduler.draining else "serving"
        shown = status.Status(state, self.scheduler.active, tuple(map(str, self.settings.listen)))
        return Page(status.render(shown, self.models.entries()), "text/html; charset=utf-8")

    def _metrics(self, accept: str) -> Page:
        return Page(*self.metrics.render(accept))

    def _healthz(self, _accept: str) -> Page:
        return Page(b"ok\n")

    def _readyz(self, _accept: str) -> Page:
        return (
            Page(b"draining\n", status=HTTPStatus.SERVICE_UNAVAILABLE) if self.scheduler.draining else Page(b"ready\n")
        )


async def serve(settings: ServerSettings, *, until_stdin_closes: bool = False) -> None:
    """Serve until SIGTERM, SIGINT or, if asked, the end of standard input; then drain and return."""
    sys.setswitchinterval(_SWITCH_S)
    heap.keep_freed_pages()
    server = Server(settings)
    await server.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        _watch_stdin(lambda: loop.call_soon_threadsafe(stop.set))
    _log.info("serving %s on %s", ", ".join(settings.models), ", ".join(map(str, settings.listen)))
    await stop.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # a second one ends the process at once
    _log.info("draining: running streams have %g s", settings.grace_s)
    if not await server.stop():
        _log.warning("streams that had not finished after %g s were ended", settings.grace_s)


def _watch_stdin(closed: Callable[[], object]) -> None:
    """Call `closed` when standard input ends: a parent that dies, however, takes its private server along."""

    def watch() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        closed()

    threading.Thread(target=watch, name="esr-stdin", daemon=True).start()


def esr_serve(
    model: Annotated[
        list[str] | None, typer.Option(help="Load at start; the first is the default. [default: esr_tr_x2]")
    ] = None,
    listen: Annotated[
        list[str] | None, typer.Option(help="HOST[:PORT] or unix:PATH; may be repeated. [default: 127.0.0.1:50051]")
    ] = None,
    http: Annotated[str, typer.Option(help="HOST[:PORT] of /metrics, /healthz, /readyz.")] = "127.0.0.1:9109",
    no_http: Annotated[bool, typer.Option("--no-http", help="Serve no HTTP.")] = False,
    engine: Annotated[str, typer.Option(help=f"One of {', '.join(ENGINES)}.")] = "auto",
    device: Annotated[str, typer.Option(help=f"One of {', '.join(DEVICES)}.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Threads of one frame; 0: one for each processor.")] = 0,
    kernels: Annotated[
        Path | None, typer.Option(help="Directory of kernels made by `esr compile`, for a device without Halide.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Frames worked on at once.")] = SchedulerSettings().workers,
    max_streams: Annotated[int, typer.Option(min=1, help="Streams at once.")] = SchedulerSettings().max_streams,
    max_load: Annotated[
        float, typer.Option(min=0.01, help="Of the machine, that streams with a declared rate may ask for together.")
    ] = CapacitySettings().max_load,
    max_pixels: Annotated[int, typer.Option(min=1, help="Pixels of an input picture.")] = Limits().max_pixels,
    max_output_pixels: Annotated[
        int, typer.Option(min=1, help="Pixels of an output picture.")
    ] = Limits().max_output_pixels,
    no_shared_memory: Annotated[
        bool, typer.Option("--no-shared-memory", help="Take frames of clients on this host in messages only.")
    ] = False,
    grace: Annotated[float, typer.Option(min=0, help="Seconds that running streams get after SIGTERM.")] = 30.0,
    exit_with_stdin: Annotated[
        bool, typer.Option("--exit-with-stdin", help="Drain when standard input ends, as a private server does.")
    ] = False,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Serve video upscaling over gRPC, and metrics over HTTP."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes its banner past FFmpeg's log; this is its only switch
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    defaults = ServerSettings()
    try:
        settings = ServerSettings(
            listen=tuple(map(parse_address, listen)) if listen else defaults.listen,
            http=None if no_http else parse_address(http, HTTP_PORT),
            models=tuple(model or defaults.models),
            engine=EngineSettings(engine=engine, device=device, threads=threads, kernels=kernels),
            limits=Limits(max_pixels=max_pixels, max_output_pixels=max_output_pixels),
            scheduler=SchedulerSettings(workers=workers, max_streams=max_streams),
            capacity=CapacitySettings(max_load=max_load),
            admin_token=os.environ.get(_TOKEN) or None,
            shared_memory=not no_shared_memory,
            grace_s=grace,
        )
        asyncio.run(serve(settings, until_stdin_closes=exit_with_stdin))
    except (UpscaleError, OSError, ValueError) as error:
        typer.echo(f"esr-serve: {error}", err=True)
        raise typer.Exit(2) from error


def main() -> None:
    """Entry point of `esr-serve`."""
    typer.run(esr_serve)


if __name__ == "__main__":
    main()
