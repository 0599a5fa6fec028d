"""The one table from the house's exceptions to status codes."""

from __future__ import annotations

import logging

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
    (service.DrainingError, StatusCode.UNAVAILABLE),
    (service.BusyError, StatusCode.RESOURCE_EXHAUSTED),
)


def status_of(error: BaseException) -> tuple[StatusCode, str]:
    """The status code and message that a client gets for `error`.

    An exception that nobody raised on purpose is INTERNAL, says nothing of its inside, and is logged with its
    traceback.
    """
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, str(error)
    _log.error("a stream failed", exc_info=error)
    return StatusCode.INTERNAL, "internal error; the server's log has the details"
