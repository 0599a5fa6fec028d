"""Details of a server's status: google.rpc messages in the trailing metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

Metadata = Iterable[Any]  # pairs of key and value, of which gRPC's sync and asyncio halves have a type each

_KEY = "grpc-status-details-bin"


def retry_after_s(metadata: Metadata | None) -> float | None:
    """Return the seconds after which to try again, as a RetryInfo says; None where there is none."""
    for key, value in metadata or ():
        if key == _KEY and isinstance(value, bytes):
            return _delay_s(value)
    return None


def _delay_s(data: bytes) -> float | None:
    info = RetryInfo()
    try:
        details = Status.FromString(data).details
        if not any(detail.Unpack(info) for detail in details):
            return None
    except DecodeError:  # a proxy's, or damaged: the error that is being told has its code and message without it
        return None
    return info.retry_delay.ToTimedelta().total_seconds() if info.HasField("retry_delay") else None
