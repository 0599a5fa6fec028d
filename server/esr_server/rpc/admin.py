"""Who may load and unload models."""

from __future__ import annotations

import hmac
from typing import Any

import grpc.aio

from esr_server.errors import ForbiddenError, UnauthenticatedError

_KEY = "authorization"


def check_administrator(token: str | None, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Compare what a call brings along with the administrator's token, in a time that tells nothing of it.

    Raises:
        ForbiddenError: the server has no token, so that nobody is an administrator.
        UnauthenticatedError: the call brings none, or another one.
    """
    if token is None:
        raise ForbiddenError("this server takes no administrator's calls: it was started without ESR_ADMIN_TOKEN")
    said = next((value for key, value in context.invocation_metadata() or () if key == _KEY), "")
    given = said if isinstance(said, bytes) else said.encode()
    if not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise UnauthenticatedError(
            "the token is not the one that this server was started with (ESR_ADMIN_TOKEN); "
            f"it is sent as {_KEY}: Bearer TOKEN"
        )
