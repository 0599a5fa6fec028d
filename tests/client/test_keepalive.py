"""A server that hangs, and one that is started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import esr_client
from esr_api.address import Address
from esr_client import Options
from tests.client.pictures import array
from tests.support.server import running_on_thread, target
from tests.support.waiting import eventually

QUICK = Options(keepalive_s=1, shared_memory=False)
SAYS = "the server has stopped answering"


@contextmanager
def _process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own that can be stopped, and its address."""
    address = f"unix:{folder}/socket"
    command = (sys.executable, "-m", "esr_server", "--no-http", "--model", "bicubic_x2", "--listen", address)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any(" serves " in line for line in process.stderr), "the server did not start"
            yield process, address
        finally:
            process.kill()


def test_a_frozen_server_ends_a_stream(tmp_path: Path) -> None:
    with _process(tmp_path) as (process, address), esr_client.connect(address, options=QUICK) as client:
        stream = client.upscale((array(number % 8) for number in range(100_000)), model="bicubic_x2")
        next(stream)
        process.send_signal(signal.SIGSTOP)
        began_s = time.monotonic()
        with pytest.raises(esr_client.UnavailableError, match=SAYS) as error_info:
            for _ in stream:
                pass
    assert error_info.value.retryable
    assert time.monotonic() - began_s < 10


async def test_a_frozen_server_ends_an_asyncio_stream(tmp_path: Path) -> None:
    async def frames() -> AsyncIterator[NDArray[np.uint8]]:
        for number in range(100_000):
            yield array(number % 8)

    with _process(tmp_path) as (process, address):
        async with esr_client.connect_async(address, options=QUICK) as client:
            stream = client.upscale(frames(), model="bicubic_x2")
            await anext(stream)
            process.send_signal(signal.SIGSTOP)

            async def rest() -> None:
                async for _ in stream:
                    pass

            with pytest.raises(esr_client.UnavailableError, match=SAYS):
                await asyncio.wait_for(rest(), 10)


CLIENT = """
import sys
from esr_client import Options, connect
import numpy

def frames():
    yield numpy.zeros((12, 16), numpy.uint8)
    print("sent", flush=True)
    sys.stdin.read()

with connect(sys.argv[1]) as client:
    list(client.upscale(frames(), model="bicubic_x2"))
"""


def test_a_frozen_client_loses_its_stream() -> None:
    with running_on_thread(keepalive_s=1.0) as server:
        command = (sys.executable, "-c", CLIENT, target(server))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "sent\n"
            assert eventually(lambda: server.scheduler.active == 1)
            process.send_signal(signal.SIGSTOP)
            assert eventually(lambda: server.scheduler.active == 0)
            process.kill()
        count = server.metrics.registry.get_sample_value("esr_streams_total", {"outcome": "cancelled"})
    assert count == 1


def test_an_idle_stream_is_kept() -> None:
    """Pings at the shortest interval, in both directions, end no stream that only waits."""
    with running_on_thread(keepalive_s=1.0) as server, esr_client.connect(target(server), options=QUICK) as client:

        def frames() -> Iterator[NDArray[np.uint8]]:
            yield array(0)
            time.sleep(5)  # several pings
            yield array(1)

        assert len(list(client.upscale(frames(), model="bicubic_x2"))) == 2


def test_reconnecting_takes_a_second() -> None:
    with running_on_thread() as server:
        address = Address("127.0.0.1", server.grpc.ports[0])
        client = esr_client.connect(str(address))
        client.models()
    with client:
        end_s = time.monotonic() + 5  # for gRPC's own pauses to have grown beyond the limit
        while time.monotonic() < end_s:
            with pytest.raises(esr_client.UnavailableError):
                client.models()
            time.sleep(0.05)
        with running_on_thread(listen=(address,)):
            assert eventually(lambda: _answers(client), 1.5)


def _answers(client: esr_client.Client) -> bool:
    try:
        return bool(client.models())
    except esr_client.UnavailableError:
        return False


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan"), float("inf"), 1e9])
def test_options_keepalive_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="keepalive_s must be from 1 to 86400, or None"):
        Options(keepalive_s=seconds)


def test_options_keepalive_off() -> None:
    assert ("grpc.keepalive_time_ms", 2**31 - 1) in Options(keepalive_s=None).channel_arguments()
