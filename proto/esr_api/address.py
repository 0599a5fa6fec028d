"""Addresses of servers, as people write them: the one parser of `esr-serve`, `esr-client` and the SDK."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from dataclasses import dataclass
from urllib.parse import quote

GRPC_PORT = 50051
HTTP_PORT = 9109

_FORMS = "HOST, HOST:PORT, [IPV6]:PORT or unix:PATH"
_MAX_PORT = 65535
_MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103  # sun_path less its final NUL
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address, or a Unix socket where `path` is set. `str()` gives the form that `parse_address` reads."""

    host: str = ""
    """A name or an IP address, IPv6 without brackets; empty for a Unix socket."""
    port: int = 0
    """0 … 65535; 0 lets a server take any free port."""
    path: str = ""
    """Path of a Unix socket; empty for TCP."""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """The form that gRPC takes, which is a URI where it is a Unix socket."""
        return f"unix:{quote(self.path)}" if self.path else str(self)

    @property
    def is_local(self) -> bool:
        """Return whether it can only be on this host: a Unix socket, `localhost` or a loopback address."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False


def parse_address(text: str, default_port: int = GRPC_PORT) -> Address:
    """Read HOST, HOST:PORT, an IPv6 address, [IPV6], [IPV6]:PORT or unix:PATH.

    A missing port is `default_port`.

    Raises:
        ValueError: `text` is none of these; the message says what would be right.
    """
    if not text:
        raise ValueError(f"an address is {_FORMS}, and this one is empty")
    if text.startswith("unix:"):
        return Address(path=_socket_path(text))
    if match := _SCHEME.fullmatch(text):
        scheme, rest = match[1], match[2].lstrip("/").partition("/")[0] or f"HOST:{default_port}"
        raise ValueError(f"an address has no {scheme}:// in front: write {rest!r}, not {text!r}")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"an address has no spaces or control characters, as {text!r} has; it is {_FORMS}")
    host, port = _split(text, default_port)
    _check_host(host, text)
    return Address(host, default_port if port is None else _port_number(port, text))


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise ValueError(f"unix:// takes an absolute path: write unix:///{path} or unix:{path}, not {text!r}")
    if not path or "\0" in path:
        raise ValueError(f"unix: is followed by the path of a socket, such as unix:/run/edge-sr/socket, not {text!r}")
    size = len(os.fsencode(path))
    if size > _MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"the path of a Unix socket has at most {_MAX_SOCKET_PATH_BYTES} bytes here, and this one has {size}: "
            f"choose a shorter path than {path!r}"
        )
    return path


def _split(text: str, default_port: int) -> tuple[str, str | None]:
    """Split off what follows the host; None where nothing does."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(
                f"an IPv6 address with a port is [ADDRESS]:PORT, such as [::1]:{default_port}, not {text!r}"
            )
        if not _is_ip(host, 6):
            raise ValueError(f"brackets hold an IPv6 address, such as [::1]:{default_port}, and {host!r} is none")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        if not _is_ip(text, 6):
            raise ValueError(
                f"{text!r} is no IPv6 address; with a port it is [ADDRESS]:PORT, as in [::1]:{default_port}"
            )
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _check_host(host: str, text: str) -> None:
    if not host:
        raise ValueError(
            f"{text!r} has no host: write 127.0.0.1{text} for this machine only, 0.0.0.0{text} to listen everywhere"
        )
    if host.isdigit():
        raise ValueError(f"{host!r} alone is no host: for a port of this machine write 127.0.0.1:{host}")
    numeric = re.fullmatch(r"[0-9.]+", host) is not None
    if not (_is_ip(host, 6) or (_is_ip(host, 4) if numeric else _NAME.fullmatch(host))):
        raise ValueError(f"{host!r} is no host name or IP address; an address is {_FORMS}, not {text!r}")


def _port_number(port: str, text: str) -> int:
    # isdigit alone also takes digits of other scripts.
    if not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise ValueError(f"a port is a number from 0 to {_MAX_PORT}, and {port!r} in {text!r} is none")
    return int(port)


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
