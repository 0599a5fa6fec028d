"""What can go wrong in the service, beyond what the engine raises.

ServiceError
├── ProtocolError     messages in an order that the contract does not know
├── ConfigError       a stream that is asked to be what cannot be
├── SharedMemoryError memory that a client offers and this server does not take; the stream goes on without
├── LostFrameError    a stream that ends with a frame not accounted for
├── RefusedError      a stream that is not taken in
│   ├── StartingError   the server still loads its models
│   ├── DrainingError   the server shuts down; another one will take the stream
│   ├── BusyError       as many streams run as the server was configured for
│   ├── OverloadedError the machine's time is promised to others
│   └── TooDemandingError  the machine is too slow for it, other streams or none
├── UnauthenticatedError  an administrator's call without the token, ForbiddenError: no one is one here
├── CodecProcessError a codec's process cannot be started
│   ├── DecoderDiedError  the input made its decoder crash, hang, or take more memory than it may
│   └── EncoderDiedError  an encoder crashed, did not answer, or took more memory than it may
└── StageDiedError    something in a stage asked for the whole process to end

`esr_server.rpc.errors` has the one table from these, and from the engine's, to status codes.
"""

from __future__ import annotations

import traceback


class ServiceError(Exception):
    """Base of everything the service raises on purpose."""


class ProtocolError(ServiceError):
    """Messages in an order that the contract does not know."""


class ConfigError(ServiceError):
    """A stream was asked to be what cannot be: a ladder of two scales, a rate without a size."""


class SharedMemoryError(ServiceError):
    """Memory that a client offers and this server does not take. It ends no stream: planes are then inline."""


class LostFrameError(ServiceError):
    """A stream came to its end, and not every frame of it came out: a fault of ours."""


class RefusedError(ServiceError):
    """A stream that is not taken in."""


class StartingError(RefusedError):
    """The server still loads its models, and takes streams when it has."""


class DrainingError(RefusedError):
    """The server shuts down and takes no new stream."""


class BusyError(RefusedError):
    """The server runs as many streams as it was configured for."""


class OverloadedError(RefusedError):
    """A stream asks for more than the running streams leave."""


class TooDemandingError(RefusedError):
    """A stream asks for more than the whole machine can do: it never fits."""


class UnauthenticatedError(ServiceError):
    """A call for administrators came without their token."""


class ForbiddenError(ServiceError):
    """A call for administrators, on a server that was given no token for them."""


class CodecProcessError(ServiceError):
    """A process for a codec cannot be started, or did not do its work."""


class DecoderDiedError(CodecProcessError):
    """The process of a decoder crashed, took too long, or took more memory than it may."""


class EncoderDiedError(CodecProcessError):
    """The process of an encoder crashed, took too long, or took more memory than it may."""


class StageDiedError(ServiceError):
    """A stage raised what is no Exception, such as SystemExit: its stream ends, and the server lives."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"a stage died of {cause!r}")
        self.__cause__ = cause


def clear_frames(error: BaseException | None) -> None:
    """Drop what the tracebacks of an error hold, and of those that it came from.

    Frames are large, and such garbage could wait long for the collector.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
