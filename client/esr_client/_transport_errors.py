"""What gRPC itself says when no server has answered, in words for users of this package."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?:ipv4:|ipv6:|(?=unix:))(?P<address>\S+?)(?:: |$)")

_PLAIN: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"failed to connect.*(Connection refused|No such file)", re.IGNORECASE | re.DOTALL),
        "no server answers at {address}; start one with `esr-serve`, or check the address",
    ),
    (
        re.compile(r"Failed parsing HTTP/2|http1\.x|Received http2 header with status", re.IGNORECASE),
        "what answers at {address} is not an esr-serve for gRPC; its HTTP port for /metrics is another one",
    ),
    (
        re.compile(r"(errors? resolving|DNS resolution failed for) (?P<host>\S+?):", re.IGNORECASE),
        "there is no host named {host}; check the address of the server",
    ),
    (
        re.compile(r"failed to connect.*(timed? ?out|unreachable|no route)", re.IGNORECASE | re.DOTALL),
        "{address} cannot be reached; check the address, the network and firewalls",
    ),
    (
        re.compile(r"keepalive|ping timeout", re.IGNORECASE),
        "the server has stopped answering: it hangs, or the way to it is gone; the stream ended where it was",
    ),
    (
        re.compile(r"Socket closed|Connection reset|recvmsg|GOAWAY|Broken pipe", re.IGNORECASE),
        "the connection to the server was lost: it has ended, or the network has failed; try again",
    ),
    (
        re.compile(r"(?P<way>Received|Sent) message larger than max \((?P<size>\d+) vs\. (?P<limit>\d+)\)"),
        "a message of {size} bytes is over the limit of {limit}; raise Options.max_frame_pixels, or esr-serve "
        "--max-pixels and --max-output-pixels",
    ),
    (
        re.compile(r"^Deadline Exceeded$|deadline exceeded", re.IGNORECASE),
        "the server took longer than timeout_s; give more time, or find out why it is slow",
    ),
    (
        re.compile(r"^Method not found!?$", re.IGNORECASE),
        "the server is older than this client, or another program: it does not know this call",
    ),
)
"""Patterns of gRPC's own messages, in this order, and what is said instead."""


def plain_text(message: str) -> str:
    """Return a message of gRPC's own in plain words, and one of the server's as it is."""
    for pattern, text in _PLAIN:
        match = pattern.search(message)
        if match is not None:
            address = _ADDRESS.search(message)
            name = address["address"].rstrip(":") if address else "this address"
            return text.format(**{"address": name, **match.groupdict()})
    return message
