"""`connect`: a client of a running server, or of a private one."""

from __future__ import annotations

from esr_client._client import Client
from esr_client._config import Options
from esr_client._private_server import DEFAULT_MODEL, PrivateServer

__all__ = ["connect"]


def connect(target: str | None = None, *, options: Options | None = None, admin_token: str | None = None) -> Client:
    """Return a client of the server at HOST, HOST:PORT, [IPV6]:PORT or unix:PATH; a missing port is 50051.

    Without a target a private server is started, which takes a few seconds, and ended with the client. With one,
    nothing is sent before the first call. `admin_token` goes along with `load_model` and `unload_model` only, and not
    encrypted: keep to a Unix socket, this host, or a tunnel.

    Raises:
        TypeError: the target is no string.
        ValueError: the target is no address, or the token cannot be sent.
        PrivateServerError: the private server does not start.
    """
    if target is not None:
        return Client(target, options or Options(), admin_token)
    private = PrivateServer(DEFAULT_MODEL)
    try:
        private.wait()
        return Client(private.target, options or Options(), admin_token, private.close)
    except BaseException:
        private.close()
        raise
