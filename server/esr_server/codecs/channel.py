"""Messages between the server and the process of a codec: a small JSON object, and bytes.

The process of a codec may have been taken over by what it decodes. So nothing that it sends is unpickled, lengths are
limited before memory is taken for them, and values are checked where they are used.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any, TypeAlias

Head: TypeAlias = dict[str, Any]

_LENGTHS = struct.Struct("<II")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """How long a message may be that comes in, in bytes."""

    head: int
    data: int


FROM_SERVER = MessageLimits(64 << 20, 1 << 30)
"""Packets and extradata have the server's own limits."""


class Channel:
    """One end of a connected stream socket. One thread sends and receives at a time."""

    def __init__(self, connection: socket.socket, most: MessageLimits = FROM_SERVER) -> None:
        self._connection, self._most = connection, most

    def send(self, head: Head, data: bytes = b"", deadline_s: float = math.inf) -> None:
        """Send a message.

        Raises:
            TimeoutError: it was not taken until `deadline_s` (`time.monotonic` seconds).
            OSError: the other end is closed.
        """
        encoded = json.dumps(head, separators=(",", ":")).encode()
        self._wait_until(deadline_s)
        self._connection.sendall(_LENGTHS.pack(len(encoded), len(data)) + encoded)
        if data:
            self._wait_until(deadline_s)
            self._connection.sendall(data)

    def receive(self, deadline_s: float = math.inf) -> tuple[Head, bytes]:
        """Receive a message.

        Raises:
            TimeoutError: none came until `deadline_s` (`time.monotonic` seconds).
            EOFError: the other end is closed.
            ValueError: it is not a message.
        """
        head_bytes, data_bytes = _LENGTHS.unpack(self._read(_LENGTHS.size, deadline_s))
        if head_bytes > self._most.head or data_bytes > self._most.data:
            raise ValueError(f"a message of {head_bytes} + {data_bytes} bytes is too long")
        try:
            head = json.loads(self._read(head_bytes, deadline_s))
        except RecursionError:
            raise ValueError("a message is nested too deeply") from None
        if not isinstance(head, dict):
            raise ValueError("a message must be a JSON object")
        return head, bytes(self._read(data_bytes, deadline_s))

    def close(self) -> None:
        self._connection.close()

    def _read(self, count: int, deadline_s: float) -> bytearray:
        # It grows with what comes: a length alone takes no memory.
        data = bytearray()
        while len(data) < count:
            self._wait_until(deadline_s)
            received = self._connection.recv(min(count - len(data), _CHUNK_BYTES))
            if not received:
                raise EOFError("the other end is closed")
            data += received
        return data

    def _wait_until(self, deadline_s: float) -> None:
        if deadline_s == math.inf:
            self._connection.settimeout(None)
            return
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(left_s)
