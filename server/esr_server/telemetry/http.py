"""/metrics, /healthz, /readyz and the status page, on a thread of their own."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from esr_api.address import Address

_log = logging.getLogger(__name__)
_POLL_S = 0.05  # how long `close` may take to be noticed


@dataclass(frozen=True, slots=True)
class Page:
    """One answer."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


Route = Callable[[str], Page]
"""Makes a page; gets the request's Accept header."""


class HttpServer:
    """Serves GET and HEAD for a table of routes. It binds at once and serves from `start` to `close`."""

    def __init__(self, address: Address, routes: Mapping[str, Route]) -> None:
        """Bind `address`.

        Raises:
            OSError: the address cannot be bound; ValueError: it is a Unix socket.
        """
        if address.path:
            raise ValueError(f"HTTP is served on HOST:PORT, not on {str(address)!r}; Unix sockets are for gRPC")
        try:
            addresses = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            # A name such as localhost may stand for both families; IPv4 is what a browser or a probe tries for sure.
            family, *_, place = min(addresses, key=lambda each: each[0] != socket.AF_INET)
            self._server = _server_class(family)((str(place[0]), int(place[1])), _handler(routes))
        except OSError as error:
            raise OSError(
                f"cannot serve HTTP on {address}: {error.strerror}; free the port or choose another"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="esr-http", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop serving, if it began, and give the port back."""
        if self._thread.ident is not None:
            self._server.shutdown()  # it waits for a thread that serves
            self._thread.join()
        self._server.server_close()


def _server_class(family: int) -> type[ThreadingHTTPServer]:
    """Return the server class for IPv4 or IPv6."""

    class Server(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True

        def server_bind(self) -> None:
            TCPServer.server_bind(self)  # HTTPServer's own also asks DNS for a name, which may take seconds

    return Server


def _handler(routes: Mapping[str, Route]) -> type[BaseHTTPRequestHandler]:
    """The handler class that the standard library wants, closed over the routes."""

    class Handler(BaseHTTPRequestHandler):
        server_version = "esr"
        timeout = 10  # seconds for a client to say its request

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, format: str, *args: object) -> None:
            _log.debug(format, *args)

        def _answer(self, *, with_body: bool) -> None:
            page = self._page()
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if with_body:
                self.wfile.write(page.body)

        def _page(self) -> Page:
            route = routes.get(self.path.partition("?")[0])
            if route is None:
                return Page(f"there is {', '.join(routes)}\n".encode(), status=HTTPStatus.NOT_FOUND)
            try:
                return route(self.headers.get("Accept", ""))
            except Exception:
                _log.exception("%s failed", self.path)
                return Page(b"internal error\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)

    return Handler
