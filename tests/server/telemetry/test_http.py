"""The HTTP side, asked over a real socket."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator

import pytest

from esr_api.address import Address
from esr_server.telemetry.http import HttpServer, Page
from tests.support.calls import raw_config, raw_frame, stub_of, upscale
from tests.support.server import running
from tests.support.waiting import keeps_waiting


def _get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def _broken(_accept: str) -> Page:
    raise RuntimeError("secret")


@pytest.fixture
def port() -> Iterator[int]:
    server = HttpServer(Address("127.0.0.1"), {"/": lambda accept: Page(accept.encode()), "/broken": _broken})
    server.start()
    yield server.port
    server.close()


def test_a_route_gets_the_accept_header(port: int) -> None:
    assert _get(port, "/?x=1", Accept="text/x") == (200, "text/plain; charset=utf-8", "text/x")


def test_head_has_no_body(port: int) -> None:
    assert _get(port, "/", "HEAD", Accept="a")[2] == ""


def test_an_unknown_path_names_the_known_ones(port: int) -> None:
    status, _, body = _get(port, "/nope")
    assert status == 404
    assert "/broken" in body


def test_a_page_that_fails_tells_nothing_of_its_inside(port: int) -> None:
    status, _, body = _get(port, "/broken")
    assert status == 500
    assert "secret" not in body


def test_another_method_is_refused(port: int) -> None:
    assert _get(port, "/", "POST")[0] == 501


def test_http_on_ipv6() -> None:
    server = HttpServer(Address("::1"), {"/": lambda _: Page(b"six")})
    server.start()
    connection = http.client.HTTPConnection("::1", server.port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"six"
    connection.close()
    server.close()


def test_http_refuses_a_unix_socket() -> None:
    with pytest.raises(ValueError, match="Unix sockets are for gRPC"):
        HttpServer(Address(path="/run/esr"), {})


def test_close_before_start_gives_the_port_back() -> None:
    server = HttpServer(Address("127.0.0.1"), {})
    server.close()
    HttpServer(Address("127.0.0.1", server.port), {}).close()


def test_http_names_a_busy_address(port: int) -> None:
    with pytest.raises(OSError, match=rf"cannot serve HTTP on 127\.0\.0\.1:{port}: Address already in use"):
        HttpServer(Address("127.0.0.1", port), {})


async def test_the_service_shows_itself() -> None:
    async with running() as server, stub_of(server) as stub:
        assert server.http is not None
        await upscale(stub, [raw_config(), raw_frame(0), raw_frame(1)])
        pages = {
            path: await asyncio.to_thread(_get, server.http.port, path)
            for path in ("/", "/metrics", "/healthz", "/readyz")
        }
    assert {status for status, _, _ in pages.values()} == {200}
    assert 'esr_frames_total{model="bicubic_x2",outcome="sent"} 2.0' in pages["/metrics"][2]
    assert (
        'esr_model_info{alias="",backend="fused",family="bicubic",model="bicubic_x2",scale="2"} 1.0'
        in pages["/metrics"][2]
    )
    assert "bicubic_x2" in pages["/"][2]


async def test_a_draining_server_is_not_ready_but_alive() -> None:
    async with running() as server, stub_of(server) as stub:
        assert server.http is not None
        call = stub.Upscale()
        await call.write(raw_config())
        await call.read()
        stopping = asyncio.create_task(server.grpc.stop(5))
        assert await keeps_waiting(stopping)
        ready = await asyncio.to_thread(_get, server.http.port, "/readyz")
        alive = await asyncio.to_thread(_get, server.http.port, "/healthz")
        await call.done_writing()
        await stopping
    assert ready[0] == 503
    assert alive[0] == 200
