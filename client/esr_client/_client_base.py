"""The common part of the sync and the asyncio client: the address, the options and the state of the connection."""

from __future__ import annotations

from dataclasses import replace

from esr_api.address import Address, parse_address
from esr_client._config import Options
from esr_client._errors import ClosedError


def server_address(target: str) -> Address:
    """Return the address of a server.

    Raises:
        TypeError: it is no string.
        ValueError: it is none that a client can connect to; the message says what would be right.
    """
    if not isinstance(target, str):
        raise TypeError(f"an address is a string such as '127.0.0.1:50051', not {target!r}")
    address = parse_address(target)
    if not address.path and not address.port:
        raise ValueError(f"a client needs a port from 1 to 65535, but {target!r} has port 0")
    return address


def options_for(address: Address, options: Options) -> Options:
    """Return the options for a server: shared memory is for those on this host only."""
    return options if address.is_local else replace(options, shared_memory=False)


def admin_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata of an administrator's calls; none without a token.

    Raises:
        ValueError: the token is empty, or cannot be sent. The message does not repeat it, as gRPC's own would.
    """
    if token is None:
        return ()
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError("an admin token must be one or more printable ASCII characters")
    return (("authorization", f"Bearer {token}"),)


class ClientBase:
    """A connection to one server, of either kind."""

    def __init__(self, target: str, options: Options, admin_token: str | None) -> None:
        self._address = server_address(target)
        self._options = options_for(self._address, options)
        self._admin = admin_metadata(admin_token)
        self._closed = False

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this client is closed")
