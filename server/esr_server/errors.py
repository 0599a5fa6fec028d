"""What can go wrong in the service, beyond what the engine raises.

ServiceError
├── ProtocolError     messages in an order that the contract does not know
└── RefusedError      a stream that is not taken in
    ├── DrainingError   the server shuts down; another one will take the stream
    └── BusyError       as many streams run as the server was configured for

`esr_server.rpc.errors` has the one table from these, and from the engine's, to status codes.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of everything the service raises on purpose."""


class ProtocolError(ServiceError):
    """Messages in an order that the contract does not know."""


class RefusedError(ServiceError):
    """A stream that is not taken in."""


class DrainingError(RefusedError):
    """The server shuts down and takes no new stream."""


class BusyError(RefusedError):
    """The server runs as many streams as it was configured for."""
