"""The composition root: the one module that imports every layer."""

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
from http import HTTPStatus
from importlib.metadata import version

from esr_server import malloc
from esr_server.codecs.codec import Codecs, InProcessCodecs
from esr_server.codecs.isolated import IsolatedCodecs
from esr_server.config import CodecIsolation, ServerSettings
from esr_server.models.catalog import Catalog
from esr_server.models.pool import ModelPool
from esr_server.models.served import ServedModel
from esr_server.rpc.server import GrpcServer
from esr_server.rpc.upscale import Services
from esr_server.scheduling.capacity import Capacity, Demand
from esr_server.scheduling.scheduler import Scheduler
from esr_server.telemetry import status_page
from esr_server.telemetry.http import HttpServer, Page
from esr_server.telemetry.metrics import Metrics
from esr_upscale.engine import check_installed

_log = logging.getLogger("esr_server")

_SIZES = ((480, 270), (960, 540), (1280, 720), (1920, 1080))
_FPS = 30.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
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
        self.codecs: Codecs = InProcessCodecs()
        if settings.codec_isolation is CodecIsolation.PROCESS:
            frame_bytes = settings.limits.max_frame_bytes, settings.limits.max_output_frame_bytes
            self.codecs = IsolatedCodecs(*frame_bytes, settings.codec_timeout_s)
        self.grpc = GrpcServer(
            Services(settings, self.models, self.scheduler, self.capacity, self.metrics, self.codecs)
        )
        routes = {"/": self._status, "/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
        self.http = HttpServer(settings.http, routes) if settings.http else None

    async def start(self) -> None:
        """Answer gRPC and HTTP at once, as a server that starts; load the models; then serve.

        Raises:
            UpscaleError: a model cannot run here.
        """
        await self.grpc.start()
        if self.http:
            self.http.start()
        await asyncio.gather(asyncio.to_thread(self.codecs.start), self.scheduler.load(self._load_models))
        self.scheduler.open()
        await self.grpc.say_serving()

    def _at_rest(self) -> bool:
        malloc.give_back()
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
        await asyncio.to_thread(self.codecs.close)
        return finished

    def _accepts(self) -> Iterable[tuple[str, str, bool]]:
        """For each loaded model and size: its name, the size, and whether one more stream of it would be taken in."""
        for model in self.models.loaded:
            for width, height in _SIZES:
                yield model.name, f"{width}x{height}", self.capacity.fits(Demand((model,), _FPS, width * height))

    def _status(self, _accept: str) -> Page:
        status = status_page.Status(
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
        return Page(status_page.render(status, self.models.entries()), "text/html; charset=utf-8")

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
    malloc.keep_freed_pages()
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
