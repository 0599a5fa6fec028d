"""What gRPC says itself, in plain words."""

from __future__ import annotations

import pytest

from esr_client._transport_errors import plain_text


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:50051: Failed to connect to "
            "remote host: Connection refused",
            "no server answers at 127.0.0.1:50051; start one with `esr-serve`, or check the address",
        ),
        (
            "failed to connect to all addresses; last error: FAILED_PRECONDITION: unix:/tmp/s: connect failed: addr: "
            "unix:/tmp/s error: No such file or directory",
            "no server answers at unix:/tmp/s; start one with `esr-serve`, or check the address",
        ),
        (
            "errors resolving nosuch.invalid:50051: [field:hostname lookup error:address lookup failed]",
            "there is no host named nosuch.invalid; check the address of the server",
        ),
        (
            "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:9109: Failed parsing HTTP/2 "
            "(Expected SETTINGS frame as the first frame, got frame type 79)",
            "what answers at 127.0.0.1:9109 is not an esr-serve for gRPC; its HTTP port for /metrics is another one",
        ),
        ("Socket closed", "the connection to the server was lost: it has ended, or the network has failed; try again"),
        ("no model is named 'x'; did you mean y?", "no model is named 'x'; did you mean y?"),
    ],
)
def test_plain_text(message: str, plain: str) -> None:
    assert plain_text(message) == plain


def test_limits_are_named() -> None:
    text = plain_text("CLIENT: Received message larger than max (500 vs. 400)")
    assert text.startswith("a message of 500 bytes is over the limit of 400; raise Options.max_frame_pixels")
