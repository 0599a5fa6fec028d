"""Pipes as file objects for PyAV. A read or write that waits ends at once when it is interrupted."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType
from typing import Self

from esr_client._errors import OutputError
from esr_client.files._destination import STANDARD_STREAM

_ALWAYS_FITS_BYTES = 4096  # POSIX: a pipe that polls as writable takes so many bytes without blocking


class Interrupt:
    """A signal from one thread that ends the waits of others."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self.is_set = False

    def set(self) -> None:
        """End every wait, now and later. Calling it twice does no harm."""
        if not self.is_set:
            self.is_set = True
            os.write(self._write_fd, b"\0")

    def wait(self, timeout_s: float) -> bool:
        """Wait for the interrupt and return whether it came."""
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def wait_for(self, fd: int, event: int) -> bool:
        """Wait until `fd` is ready for a poll event; return False if the interrupt came instead."""
        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._read_fd, select.POLLIN)
        return all(ready != self._read_fd for ready, _ in poll.poll())

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _duplicate(standard: int, url: str, flags: int) -> int:
    """Return a descriptor of our own. A FIFO is opened without waiting for its other end."""
    if url in (STANDARD_STREAM, "/dev/stdin", "/dev/stdout"):
        return os.dup(standard)
    return os.open(url, flags)


class PipeReader:
    """Standard input, a FIFO or a device, as PyAV reads it."""

    def __init__(self, url: str, interrupt: Interrupt) -> None:
        self.name = "standard input" if url == STANDARD_STREAM else url
        self._interrupt = interrupt
        self._fd = _duplicate(sys.__stdin__.fileno() if sys.__stdin__ else 0, url, os.O_RDONLY | os.O_NONBLOCK)

    def read(self, size: int) -> bytes:
        """Return at least one byte and at most `size`, or nothing at the end or after an interrupt."""
        if not self._interrupt.wait_for(self._fd, select.POLLIN):
            return b""
        return os.read(self._fd, size)

    def close(self) -> None:
        """Close the descriptor; standard input itself stays open."""
        os.close(self._fd)


class PipeWriter:
    """Standard output, a FIFO or a device, as PyAV writes it."""

    def __init__(self, url: str, interrupt: Interrupt) -> None:
        self.name = "standard output" if url == STANDARD_STREAM else url
        self._interrupt = interrupt
        # For reading too: opening a FIFO for writing alone fails while no one reads it.
        self._fd = _duplicate(sys.__stdout__.fileno() if sys.__stdout__ else 1, url, os.O_RDWR)
        self.error: OutputError | None = None
        """Why writing ended; FFmpeg keeps only a number of it."""

    def write(self, data: bytes) -> int:
        """Write all of `data`.

        Raises:
            OutputError: the reader has closed its end, or the wait for it was interrupted.
        """
        view = memoryview(data)
        while view:
            if not self._interrupt.wait_for(self._fd, select.POLLOUT):
                raise self._fail("interrupted")
            try:
                view = view[os.write(self._fd, view[:_ALWAYS_FITS_BYTES]) :]
            except BrokenPipeError:
                raise self._fail("its reader has closed it") from None
            except OSError as error:
                raise self._fail(error.strerror or str(error)) from None
        return len(data)

    def _fail(self, reason: str) -> OutputError:
        self.error = self.error or OutputError(f"cannot write {self.name}: {reason}")
        return self.error

    def close(self) -> None:
        """Close the descriptor; standard output itself stays open."""
        os.close(self._fd)
