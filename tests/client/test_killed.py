"""What is left of shared memory when one side of a stream is killed: nothing."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import esr_client
from esr_client._private_server import PrivateServer
from tests.client.pictures import array
from tests.support.shared_memory import in_shared_memory, traces
from tests.support.waiting import eventually

CLIENT = """
import itertools, sys, numpy, esr_client
frames = (numpy.full((240, 320), i % 256, numpy.uint8) for i in itertools.count())
with esr_client.connect(sys.argv[1]) as client, client.upscale(frames, model="bicubic_x2") as stream:
    for i, frame in enumerate(stream):
        if i == 20:
            print("shared" if stream.negotiated.shared_memory else "inline", flush=True)
"""


@pytest.fixture
def server() -> Iterator[PrivateServer]:
    """A server of another process; /dev/shm has to be as it was before it."""
    gc.collect()  # frames of other tests, in the tracebacks of what those expected
    before = set(os.listdir("/dev/shm"))
    with PrivateServer("bicubic_x2") as server:
        server.wait()
        yield server
    assert set(os.listdir("/dev/shm")) <= before


def test_of_clients(server: PrivateServer) -> None:
    clients = [
        subprocess.Popen([sys.executable, "-c", CLIENT, server.target], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        assert [client.stdout and client.stdout.readline() for client in clients] == ["shared\n", "shared\n"]
        assert traces(server.pid) >= 3
        clients[0].kill()
        assert eventually(lambda: 0 < traces(server.pid) <= 2)
        clients[1].kill()
        assert eventually(lambda: traces(server.pid) == 0)
    finally:
        for client in clients:
            client.kill()
            client.communicate()
    with esr_client.connect(server.target) as another:
        assert in_shared_memory(*another.upscale([array(1)], model="bicubic_x2"))


def test_of_a_server(server: PrivateServer) -> None:
    with esr_client.connect(server.target) as client:
        stream = client.upscale((array(i % 256, 320, 240) for i in itertools.count()), model="bicubic_x2")
        for _, out in zip(range(20), stream, strict=False):
            assert in_shared_memory(out)
        copy = out.copy()
        assert traces(server.pid) > 0
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(esr_client.UnavailableError):
            list(stream)
    assert np.array_equal(out, copy)
    del out
    assert traces(os.getpid()) == 0
