"""The one table from exceptions to status codes, and when to try again."""

from __future__ import annotations

import logging

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from esr_server import errors as service
from esr_upscale import errors as engine

_log = logging.getLogger(__name__)

_CODES: tuple[tuple[type[Exception], StatusCode], ...] = (
    (engine.InvalidInputError, StatusCode.INVALID_ARGUMENT),
    (engine.LimitError, StatusCode.INVALID_ARGUMENT),
    (engine.UnknownModelError, StatusCode.NOT_FOUND),
    (engine.MediaDataError, StatusCode.DATA_LOSS),
    (engine.WeightsError, StatusCode.FAILED_PRECONDITION),
    (engine.EngineError, StatusCode.FAILED_PRECONDITION),
    (service.ProtocolError, StatusCode.FAILED_PRECONDITION),
    (service.StartingError, StatusCode.UNAVAILABLE),
    (service.DrainingError, StatusCode.UNAVAILABLE),
    (service.BusyError, StatusCode.RESOURCE_EXHAUSTED),
    (service.OverloadedError, StatusCode.RESOURCE_EXHAUSTED),
    (service.TooDemandingError, StatusCode.INVALID_ARGUMENT),
    (service.ConfigError, StatusCode.INVALID_ARGUMENT),
    (service.DecoderDiedError, StatusCode.DATA_LOSS),
    (service.EncoderDiedError, StatusCode.INTERNAL),
    (service.CodecProcessError, StatusCode.RESOURCE_EXHAUSTED),
    (service.UnauthenticatedError, StatusCode.UNAUTHENTICATED),
    (service.ForbiddenError, StatusCode.PERMISSION_DENIED),
)


_LONGEST_BYTES = 2000
"""Of a message. gRPC writes up to three bytes for each, and a client takes 8 KB of metadata."""
_RETRY_AFTER_S = 2
_RETRIED = (StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAVAILABLE)
_DETAILS_KEY = "grpc-status-details-bin"


def details_of(code: StatusCode, message: str) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata that goes with a status: google.rpc.RetryInfo where trying again may help."""
    if code not in _RETRIED:
        return ()
    number, _ = code.value
    status = Status(code=number, message=message)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=_RETRY_AFTER_S)))
    return ((_DETAILS_KEY, status.SerializeToString()),)


def status_of(error: BaseException) -> tuple[StatusCode, str]:
    """The status code and message that a client gets for `error`.

    An exception outside the tree is INTERNAL, says nothing of its inside, and is logged with its
    traceback.
    """
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, _bounded(str(error))
    _log.error("an unexpected error ended the call", exc_info=error)
    return StatusCode.INTERNAL, "internal error; the server's log has the details"


def _bounded(message: str) -> str:
    """Cut out the middle of a message that is too long, such as one that repeats a name of thousands of letters."""
    data = message.encode(errors="replace")
    if len(data) <= _LONGEST_BYTES:
        return message
    part = _LONGEST_BYTES // 2 - 2
    return f"{data[:part].decode(errors='ignore')}…{data[-part:].decode(errors='ignore')}"
