"""Everything this package raises on purpose.

EsrError                        `code`, `retryable`, and the server's own words where it had some
├── ServerError                   the server, or the way to it, ended a call with a status
│   ├── InvalidArgumentError        INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE: the request is wrong
│   ├── NotFoundError               NOT_FOUND: no model of that name
│   ├── UnsupportedError            UNIMPLEMENTED: this server cannot do that
│   ├── DamagedInputError           DATA_LOSS: a packet that could not be decoded
│   ├── ResourceExhaustedError      RESOURCE_EXHAUSTED: the server is full, or something is over a limit
│   ├── UnavailableError            UNAVAILABLE, ABORTED: no server there, or one that shuts down; try again
│   ├── DeadlineExceededError       DEADLINE_EXCEEDED: `timeout_s` has passed
│   ├── CallCancelledError          CANCELLED: by the other side, or by `close()` from another thread
│   ├── AccessError                 UNAUTHENTICATED, PERMISSION_DENIED
│   └── InternalServerError         INTERNAL, UNKNOWN, ALREADY_EXISTS: a fault of the server
├── ContractError                 the server answered, and against the contract: order, counts, no negotiated answer
├── FrameError (ValueError)       a frame that cannot be sent: planes, size, format, time base
├── ClosedError (RuntimeError)    a client that was closed, a stream that has ended
├── MediaError                    a file or URL that cannot be read or written
│   ├── InputError
│   └── OutputError
└── PrivateServerError            the private server could not be started, or has died

`code` is a name of gRPC's statuses, for errors that arise on this side too. No `grpc.RpcError` leaves the package.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import grpc

from esr_client._status_details import Metadata, retry_after_s
from esr_client._transport_errors import plain_text

__all__ = [
    "AccessError",
    "CallCancelledError",
    "ClosedError",
    "ContractError",
    "DamagedInputError",
    "DeadlineExceededError",
    "ErrorCode",
    "EsrError",
    "FrameError",
    "InputError",
    "InternalServerError",
    "InvalidArgumentError",
    "MediaError",
    "NotFoundError",
    "OutputError",
    "PrivateServerError",
    "ResourceExhaustedError",
    "ServerError",
    "UnavailableError",
    "UnsupportedError",
]


class ErrorCode(StrEnum):
    """The statuses of gRPC that are errors, by name."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


class EsrError(Exception):
    """Base of everything this package raises on purpose."""

    default_code: ClassVar[ErrorCode] = ErrorCode.UNKNOWN

    def __init__(self, message: str, *, code: ErrorCode | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        """The status, by gRPC's name."""
        self.retryable = retryable
        """Whether the same call may succeed later, unchanged."""


class ServerError(EsrError):
    """The server, or the way to it, ended a call with a status. `str()` is the server's message."""


class InvalidArgumentError(ServerError):
    """The request is wrong; the message says what would be right."""

    default_code = ErrorCode.INVALID_ARGUMENT


class NotFoundError(ServerError):
    """No model has this name; the message has the near ones."""

    default_code = ErrorCode.NOT_FOUND


class UnsupportedError(ServerError):
    """This server cannot do what was asked."""

    default_code = ErrorCode.UNIMPLEMENTED


class DamagedInputError(ServerError):
    """A packet could not be decoded. The good frames before it were delivered."""

    default_code = ErrorCode.DATA_LOSS


class ResourceExhaustedError(ServerError):
    """The server cannot take one more stream (retryable), or a message exceeds a limit (not retryable)."""

    default_code = ErrorCode.RESOURCE_EXHAUSTED
    retry_after_s: float | None = None
    """Seconds after which the server expects to have capacity; None if it does not say."""


class UnavailableError(ServerError):
    """No server answers there, or the server is shutting down."""

    default_code = ErrorCode.UNAVAILABLE


class DeadlineExceededError(ServerError):
    """The call took longer than its `timeout_s`."""

    default_code = ErrorCode.DEADLINE_EXCEEDED


class CallCancelledError(ServerError):
    """The call was cancelled, by the other side or from another thread."""

    default_code = ErrorCode.CANCELLED


class AccessError(ServerError):
    """The server does not let this caller in."""

    default_code = ErrorCode.PERMISSION_DENIED


class InternalServerError(ServerError):
    """A fault of the server; its log has the reason."""

    default_code = ErrorCode.INTERNAL


class ContractError(EsrError):
    """The server broke the contract: order, counts, no negotiated answer."""

    default_code = ErrorCode.INTERNAL


class FrameError(EsrError, ValueError):
    """A frame that cannot be sent."""

    default_code = ErrorCode.INVALID_ARGUMENT


class ClosedError(EsrError, RuntimeError):
    """The client was closed, or the stream has ended."""

    default_code = ErrorCode.FAILED_PRECONDITION


class MediaError(EsrError):
    """A file or URL that cannot be read or written."""

    default_code = ErrorCode.FAILED_PRECONDITION


class InputError(MediaError):
    """The input cannot be opened or read."""


class OutputError(MediaError):
    """The output cannot be written, or not with this codec."""


class PrivateServerError(EsrError):
    """The private server could not be started, or has died; the message has its last words."""

    default_code = ErrorCode.UNAVAILABLE


_CLASSES: dict[ErrorCode, type[ServerError]] = {
    ErrorCode.CANCELLED: CallCancelledError,
    ErrorCode.UNKNOWN: InternalServerError,
    ErrorCode.INVALID_ARGUMENT: InvalidArgumentError,
    ErrorCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    ErrorCode.NOT_FOUND: NotFoundError,
    ErrorCode.ALREADY_EXISTS: InternalServerError,
    ErrorCode.PERMISSION_DENIED: AccessError,
    ErrorCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    ErrorCode.FAILED_PRECONDITION: InvalidArgumentError,
    ErrorCode.ABORTED: UnavailableError,
    ErrorCode.OUT_OF_RANGE: InvalidArgumentError,
    ErrorCode.UNIMPLEMENTED: UnsupportedError,
    ErrorCode.INTERNAL: InternalServerError,
    ErrorCode.UNAVAILABLE: UnavailableError,
    ErrorCode.DATA_LOSS: DamagedInputError,
    ErrorCode.UNAUTHENTICATED: AccessError,
}
_RETRYABLE = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.ABORTED, ErrorCode.RESOURCE_EXHAUSTED})
# gRPC itself says RESOURCE_EXHAUSTED of a message over its limit, in these words; sending it again will not help.
_OVER_A_LIMIT = "larger than max"


def from_status(status: grpc.StatusCode | None, message: str | None, metadata: Metadata | None = None) -> ServerError:
    """Return the error for a status of gRPC, with the server's message and the details of its trailing metadata.

    A status that is no error counts as UNKNOWN.
    """
    code = ErrorCode.__members__.get(status.name if status else "", ErrorCode.UNKNOWN)
    text = message or code.value.lower().replace("_", " ")
    retryable = code in _RETRYABLE and _OVER_A_LIMIT not in text
    error = _CLASSES[code](plain_text(text), code=code, retryable=retryable)
    if isinstance(error, ResourceExhaustedError):
        error.retry_after_s = retry_after_s(metadata)
    return error


def from_rpc(error: grpc.RpcError) -> ServerError:
    """Return the error for a failed call, sync or asyncio. Raise it `from error`."""
    status = error.code() if hasattr(error, "code") else None
    details = error.details() if hasattr(error, "details") else str(error)
    metadata = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    return from_status(status, details, metadata)
