"""`esr-serve` as a process: its flags, its signals and its exit codes."""

from __future__ import annotations

import asyncio
import http.client
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import torch
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from esr_api.v1 import upscaler_pb2 as pb
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
    await _until(channel, health_pb2.HealthCheckResponse.SERVING)


async def test_sigterm_finishes_the_running_stream() -> None:
    async with _process() as (process, channel, stub):
        call = stub.Upscale()
        for request in (raw_config(), raw_frame(0)):
            await call.write(request)
        await call.read()
        process.send_signal(signal.SIGTERM)
        await _not_serving(channel)
        refusal = await upscale(stub, [raw_config()])
        await call.write(raw_frame(1))
        await call.done_writing()
        outcome = await rest(call)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert "draining" in refusal.details
    assert [frame.sequence for frame in outcome.frames] == [0, 1]
    assert outcome.statistics is not None
    assert outcome.statistics.frames_out == 2


async def _not_serving(channel: grpc.aio.Channel) -> None:
    await _until(channel, health_pb2.HealthCheckResponse.NOT_SERVING)


async def _until(channel: grpc.aio.Channel, status: int) -> None:
    """Wait until health says `status`."""
    request = health_pb2.HealthCheckRequest(service=NAME)
    async for response in HealthStub(channel).Watch(request, wait_for_ready=True, timeout=60):
        if response.status == status:
            return
    pytest.fail(f"health never said {status}")


async def test_after_the_grace_a_stream_is_unavailable() -> None:
    async with _process("--grace", "0.3") as (process, _, stub):
        call = stub.Upscale()
        await call.write(raw_config())
        await call.read()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as error_info:
            await call.read()
        assert error_info.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "not finished in 0.3 s" in str(error_info.value.details())
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
        (("--backend", "magic"), "choose one of auto, fused, torch"),
        (("--device", "tpu"), "choose one of cpu, cuda"),
        (("--kernels", "/nowhere"), "/nowhere is no folder; `esr compile --out /nowhere` makes kernels there"),
        (("--kernels", "/usr"), "/usr has no kernels.json; `esr compile"),
        (("--kernels", "/etc/passwd"), "/etc/passwd is no folder"),
        (("--keepalive", "nan"), "keepalive must be a number of seconds from 1 to 86400, not nan"),
        (("--keepalive", "0"), "keepalive must be a number of seconds"),
        (("--listen", "unix:/nowhere/socket"), "there is no folder /nowhere"),
        (("--listen", "unix:/etc/passwd"), "a file that is not a socket exists there"),
        (("--listen", "192.0.2.1:1"), "cannot listen on 192.0.2.1:1: Cannot assign requested address"),
        (("--listen", "host.invalid"), "cannot listen on host.invalid:50051"),
        (("--listen", "127.0.0.1:0", "--http", "unix:/run/x"), "Unix sockets are for gRPC"),
        (("--max-load", "nan"), "max_load must be a fraction of the machine above 0, such as 0.9, not nan"),
        (("--max-load", "0"), "max_load must be a fraction of the machine above 0"),
        (("--grace", "nan"), "grace must be a number of seconds"),
        (("--grace", "inf"), "grace must be a number of seconds"),
        (("--grace", "-1"), "grace must be a number of seconds"),
        (("--log-level", "loud"), "'loud' is not one of"),
        (("--threads", "-1"), "Invalid value for '--threads'"),
        (("--threads", "100000"), "Invalid value for '--threads'"),
        (("--workers", "100000"), "Invalid value for '--workers'"),
        (("--max-pixels", "9" * 30), "Invalid value for '--max-pixels'"),
    ],
)
def test_flags_that_cannot_be(flags: tuple[str, ...], says: str) -> None:
    result = _run_to_refusal(*flags)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def _run_to_refusal(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is to end before it imports what loads models."""
    code = (
        "import atexit, sys; from esr_server.__main__ import main;"
        "atexit.register(lambda: print({'halide', 'torch'} & set(sys.modules)));"
        "sys.argv = ['esr-serve', *sys.argv[1:]]; main()"
    )
    command = (sys.executable, "-c", code, *flags)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "set()\n", "models were loaded before everything was checked"
    return result


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_where_there_is_none() -> None:
    command = (*COMMAND, "--device", "cuda")
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "cuda" in result.stderr.lower()


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        by_flag = {
            "--listen": _run_to_refusal("--listen", address),
            "--http": _run_to_refusal("--listen", "127.0.0.1:0", "--http", address),
        }
    assert f"cannot listen on {address}: Address already in use" in by_flag["--listen"].stderr
    assert f"cannot serve HTTP on {address}: Address already in use" in by_flag["--http"].stderr
    assert {result.returncode for result in by_flag.values()} == {2}


def test_a_unix_socket_in_use(tmp_path: Path) -> None:
    """A socket that a server listens on is not taken away from it; one that a killed server left is replaced."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        message = f"cannot listen on unix:{path}: another server is listening there"
        assert message in _run_to_refusal("--listen", f"unix:{path}").stderr
    assert path.exists()
    # The stale socket is taken; what is refused is the address after it.
    result = _run_to_refusal("--listen", f"unix:{path}", "--listen", f"unix:{path}")
    assert f"cannot listen on unix:{path}: another server is listening there" in result.stderr


SLOW = ("--model", "espcn_x4", "--model", "fsrcnn_x4", "--model", "esr_cnn_x4")
"""Models that together take many seconds to load."""


@asynccontextmanager
async def _starting(**pipes: Any) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """A server that loads models, its gRPC target and its HTTP address."""
    flags = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "esr_server", *flags, *SLOW, stderr=subprocess.PIPE, **pipes
    )
    try:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        match = re.search(r"edge-sr \S+ loads espcn_x4, .*; gRPC on (\S+), HTTP on http://(\S+)", line)
        assert match, line
        yield process, match[1], match[2]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_starting_refuses_streams_and_is_not_ready() -> None:
    async with _starting() as (_, target, address), grpc.aio.insecure_channel(target) as channel:
        stub = Stub(target, UpscalerServiceStub(channel))
        health = await HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        ready = await asyncio.to_thread(_get, address, "/readyz")
        alive = await asyncio.to_thread(_get, address, "/healthz")
        refusal = await upscale(stub, [raw_config()])
        with pytest.raises(grpc.aio.AioRpcError) as error_info:
            await stub.UpscaleImage(pb.UpscaleImageRequest(model="espcn_x4"))
    assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert ready == (503, "starting\n")
    assert alive == (200, "ok\n")
    for code, details in ((refusal.code, refusal.details), (error_info.value.code(), str(error_info.value.details()))):
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "still loading its models" in details


def _get(address: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_a_starting_server(number: signal.Signals, code: int) -> None:
    async with _starting() as (process, *_):
        process.send_signal(number)
        _, log = await asyncio.wait_for(process.communicate(), 5)
    assert process.returncode == code
    assert b"ended while loading models" in log
    assert b"Traceback" not in log


def test_help_and_version() -> None:
    command = (sys.executable, "-m", "esr_server")
    outputs = {flag: subprocess.run((*command, flag), capture_output=True, text=True, check=True).stdout for flag in
             ("-h", "--help", "--version")}  # fmt: skip
    assert outputs["--version"] == f"esr-serve {version('edge-sr')}\n"
    assert outputs["-h"] == outputs["--help"]
    assert "[default: 127.0.0.1:50051]" in " ".join(outputs["-h"].split())


async def test_sighup_is_logged_and_ignored() -> None:
    async with _process() as (process, _, stub):
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        while b"SIGHUP is ignored" not in (line := await asyncio.wait_for(process.stderr.readline(), 20)):
            assert line, "the server ended"
        outcome = await upscale(stub, [raw_config(), raw_frame(0)])
    assert outcome.code is grpc.StatusCode.OK
