"""Who may load and unload models."""

from __future__ import annotations

import hmac
from typing import Any

import grpc.aio

from esr_server.errors import ForbiddenError, UnauthenticatedError

_KEY = "authorization"


def check_administrator(token: str | None, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Compare a call's token with the administrator's, in constant time.

    Raises:
        ForbiddenError: the server has no token, and so no administrator.
        UnauthenticatedError: the call has none, or another one.
    """
    if token is None:
        raise ForbiddenError("this server accepts no administrator calls: it was started without ESR_ADMIN_TOKEN")
    header = next((value for key, value in context.invocation_metadata() or () if key == _KEY), "")
    credentials = header if isinstance(header, bytes) else header.encode()
    if not hmac.compare_digest(credentials, f"Bearer {token}".encode()):
        raise UnauthenticatedError(
            "the token is not the one that this server was started with (ESR_ADMIN_TOKEN); "
            f"it is sent as {_KEY}: Bearer TOKEN"
        )
