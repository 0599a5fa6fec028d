"""A server process of one's own, for as long as a measurement lasts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub


@dataclass(frozen=True, slots=True)
class Serving:
    """Where it listens, and its process id."""

    target: str
    local: str
    """For clients on this host."""
    http: str
    pid: int


@contextmanager
def serving(*models: str) -> Iterator[Serving]:
    """Run `esr-serve` with these models on free loopback ports, until the block ends."""
    target, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    folder = tempfile.mkdtemp()
    local = f"unix:{folder}/esr"
    flags = [flag for model in models for flag in ("--model", model)]
    command = (
        sys.executable,
        "-m",
        "esr_server",
        "--listen",
        target,
        "--listen",
        local,
        "--http",
        http,
        "--log-level",
        "WARNING",
    )
    process = subprocess.Popen((*command, *flags))
    try:
        with grpc.insecure_channel(target) as channel:
            watch = HealthStub(channel).Watch(HealthCheckRequest(), wait_for_ready=True, timeout=60)
            next(answer for answer in watch if answer.status == HealthCheckResponse.SERVING)
        yield Serving(target, local, http, process.pid)
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listened on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports
