"""Addresses: the forms that are read, and what is said of the others."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from esr_api.address import HTTP_PORT, Address, parse_address
from tests.support.server import running


@pytest.mark.parametrize(
    ("text", "address", "canonical"),
    [
        ("localhost", Address("localhost", 50051), "localhost:50051"),
        ("edge-1.example.org:7", Address("edge-1.example.org", 7), "edge-1.example.org:7"),
        ("my_host", Address("my_host", 50051), "my_host:50051"),
        ("127.0.0.1:0", Address("127.0.0.1", 0), "127.0.0.1:0"),
        ("::1", Address("::1", 50051), "[::1]:50051"),
        ("[::1]", Address("::1", 50051), "[::1]:50051"),
        ("[2001:db8::5]:65535", Address("2001:db8::5", 65535), "[2001:db8::5]:65535"),
        ("unix:run/socket", Address(path="run/socket"), "unix:run/socket"),
        ("unix:/run/socket", Address(path="/run/socket"), "unix:/run/socket"),
        ("unix:///run/socket", Address(path="/run/socket"), "unix:/run/socket"),
    ],
)
def test_parse_address_reads(text: str, address: Address, canonical: str) -> None:
    assert parse_address(text) == address
    assert str(address) == canonical
    assert parse_address(canonical) == address


def test_parse_address_default_port() -> None:
    assert parse_address("localhost", HTTP_PORT) == Address("localhost", 9109)
    assert parse_address("::1", HTTP_PORT) == Address("::1", 9109)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "HOST, HOST:PORT, [IPV6]:PORT or unix:PATH, and this one is empty"),
        ("http://localhost:50051", "no http:// in front: write 'localhost:50051'"),
        ("https://localhost/", "no https:// in front: write 'localhost'"),
        ("grpc://[::1]:5/x", "no grpc:// in front: write '[::1]:5'"),
        ("dns:///host:5", "write 'host:5'"),
        ("http://", "write 'HOST:50051'"),
        (" localhost", "no spaces"),
        ("local host", "no spaces"),
        ("localhost\n", "no spaces or control characters"),
        (":50051", "127.0.0.1:50051 for this machine only, 0.0.0.0:50051 to listen everywhere"),
        ("50051", "write 127.0.0.1:50051"),
        ("host:", "a port is a number from 0 to 65535, and '' in"),
        ("host:port", "and 'port' in"),
        ("host:-1", "and '-1' in"),
        ("host:65536", "and '65536' in"),
        ("host:١", "a port is a number"),
        ("::1:50051", "[ADDRESS]:PORT, as in [::1]:50051"),
        ("[::1", "[ADDRESS]:PORT"),
        ("[::1]50051", "[ADDRESS]:PORT"),
        ("[host]:5", "'host' is none"),
        ("[127.0.0.1]:5", "'127.0.0.1' is none"),
        ("300.1.1.1", "'300.1.1.1' is no host name or IP address"),
        ("a..b", "'a..b' is no host name"),
        ("höst", "'höst' is no host name"),
        ("unix:", "followed by the path of a socket"),
        ("unix://run/socket", "write unix:///run/socket or unix:run/socket"),
        ("unix:/a\0b", "followed by the path of a socket"),
    ],
)
def test_parse_address_refuses(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_address(text)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take shorter paths")
def test_parse_address_socket_path_length() -> None:
    """A path that is too long is counted in bytes, as the system does."""
    longest = "/" + "x" * 106
    assert parse_address(f"unix:{longest}").path == longest
    for path in (longest + "x", "/" + "é" * 54):
        with pytest.raises(ValueError, match=r"at most 107 bytes here, and this one has 10[89]"):
            parse_address(f"unix:{path}")


@pytest.mark.parametrize("text", ["unix:{}/a socket", "unix:{}/100%", "unix://{}/plain", "::1", "localhost"])
async def test_grpc_serves_and_connects(text: str, tmp_path: Path) -> None:
    """gRPC takes `Address.target` on both sides, with characters that a URI would not take."""
    address = parse_address(text.format(tmp_path), 0)
    async with running(listen=(address,)) as server:
        target = address.target if address.path else Address(address.host, server.grpc.ports[0]).target
        async with grpc.aio.insecure_channel(target) as channel:
            answer = await HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
