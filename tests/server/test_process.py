"""`esr-serve` as a process: its flags, its signals and its exit codes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceStub
from esr_server.rpc.service import NAME
from tests.support.calls import Stub, raw_config, raw_frame, rest, upscale

COMMAND = (sys.executable, "-m", "esr_server", "--no-http", "--model", "bicubic_x2", "--threads", "1")


@asynccontextmanager
async def _process(
    *flags: str, **pipes: Any
) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel, Stub]]:
    """A server on a Unix socket, ready to serve; it is killed if the test leaves it running."""
    with tempfile.TemporaryDirectory() as folder:
        target = f"unix:{Path(folder) / 'socket'}"
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--listen", target, *flags, stderr=subprocess.PIPE, **pipes
        )
        try:
            async with grpc.aio.insecure_channel(target) as channel:
                await _ready(channel)
                yield process, channel, Stub(target, UpscalerServiceStub(channel))
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def _ready(channel: grpc.aio.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service=NAME)
    response = await HealthStub(channel).Check(request, wait_for_ready=True, timeout=60)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_sigterm_finishes_the_running_stream_and_refuses_a_new_one() -> None:
    async with _process() as (process, channel, stub):
        call = stub.Upscale()
        for request in (raw_config(), raw_frame(0)):
            await call.write(request)
        await call.read()
        process.send_signal(signal.SIGTERM)
        await _not_serving(channel)
        refused = await upscale(stub, [raw_config()])
        await call.write(raw_frame(1))
        await call.done_writing()
        outcome = await rest(call)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert "draining" in refused.details
    assert [frame.sequence for frame in outcome.frames] == [0, 1]
    assert outcome.statistics is not None
    assert outcome.statistics.frames_out == 2


async def _not_serving(channel: grpc.aio.Channel) -> None:
    watch = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME), timeout=20)
    async for response in watch:
        if response.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return
    pytest.fail("health never said NOT_SERVING")


async def test_a_stream_that_does_not_finish_in_time_ends_with_unavailable() -> None:
    async with _process("--grace", "0.3") as (process, _, stub):
        call = stub.Upscale()
        await call.write(raw_config())
        await call.read()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "not finished in 0.3 s" in str(caught.value.details())
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_a_private_server_goes_with_its_parents_pipe() -> None:
    async with _process("--exit-with-stdin", stdin=subprocess.PIPE) as (process, _, _):
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 20) == 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--model", "esr_tr_x9"), "no model is named 'esr_tr_x9'; did you mean"),
        (("--listen", "http://localhost"), "write 'localhost'"),
        (("--listen", "localhost:grpc"), "a port is a number"),
        (("--engine", "magic"), "there are auto, fused, torch"),
        (("--kernels", "/nowhere"), "is no manifest of kernels"),
    ],
)
def test_flags_that_cannot_be(flags: tuple[str, ...], says: str) -> None:
    command = (sys.executable, "-m", "esr_server", "--no-http", "--model", "bicubic_x2", *flags)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_cuda_where_there_is_none() -> None:
    command = (*COMMAND, "--device", "cuda")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "cuda" in done.stderr.lower()


def test_a_taken_port_is_an_error() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = (*COMMAND, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
