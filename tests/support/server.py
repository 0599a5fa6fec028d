"""A real server in this process: on the test's own event loop, or on a thread for tests of blocking clients."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from esr_api.address import Address
from esr_server.app import Server
from esr_server.config import ServerSettings
from esr_upscale.engine import EngineSettings

QUICK = ServerSettings(
    listen=(Address("127.0.0.1"),),
    http=Address("127.0.0.1"),
    models=("bicubic_x2",),
    engine=EngineSettings(threads=1),
    grace_s=5.0,
)
"""Settings for tests: free ports, and a model that needs no weights."""


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[Server]:
    """Run a server with `QUICK` settings, some of them changed, on this event loop."""
    server = Server(dataclasses.replace(QUICK, **changes))
    try:
        await server.start()
        yield server
    finally:
        await server.stop(0.5)


def target(server: Server) -> str:
    """What a client connects to."""
    return f"127.0.0.1:{server.grpc.ports[0]}"


@contextmanager
def running_on_thread(**changes: Any) -> Iterator[Server]:
    """Run a server on an event loop of its own thread. Use no asyncio gRPC client in this process meanwhile."""
    started: list[Server] = []
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running(**changes) as server:
            started.append(server)
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    ready.wait(60)
    assert started, "the server did not start"
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
