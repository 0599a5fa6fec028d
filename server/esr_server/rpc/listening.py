"""Binding the gRPC server to its addresses, with the system's reason where one cannot be bound."""

from __future__ import annotations

import errno
import os
import socket
import stat

import grpc.aio

from esr_api.address import Address

_CONNECT_S = 1.0


def bind(server: grpc.aio.Server, addresses: tuple[Address, ...]) -> tuple[int, ...]:
    """Bind all addresses; return their ports, 1 for a Unix socket.

    Raises:
        OSError: an address cannot be bound.
    """
    ports: list[int] = []
    for address in addresses:
        # gRPC gives no reason, takes one family of a name for enough, and replaces a socket that is in use.
        _check_path(address) if address.path else _check_port(address)
        try:
            ports.append(server.add_insecure_port(address.target))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        if not ports[-1]:
            raise OSError(f"cannot listen on {address}: gRPC gives no reason")
    return tuple(ports)


def _check_port(address: Address) -> None:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(f"cannot listen on {address}: {error.strerror}") from error
    errors: list[OSError] = []
    for family, kind, protocol, _, place in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(place)
            except OSError as error:
                errors.append(error)
    for failure in errors:
        # A name may also stand for a family that this machine does not have.
        if failure.errno in (errno.EADDRINUSE, errno.EACCES) or len(errors) == len(found):
            raise OSError(f"cannot listen on {address}: {failure.strerror}; choose another address") from failure


def _check_path(address: Address) -> None:
    folder = os.path.dirname(address.path) or "."
    if not os.path.isdir(folder):
        raise OSError(f"cannot listen on {address}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"cannot listen on {address}: no permission to write in {folder}")
    try:
        mode = os.stat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(f"cannot listen on {address}: a file that is not a socket exists there; choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        if probe.connect_ex(address.path) not in (errno.ECONNREFUSED, errno.ENOENT):
            raise OSError(f"cannot listen on {address}: another server is listening there; choose another path")
