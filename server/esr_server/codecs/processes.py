"""Processes of codecs, seen from the server: how they are started, asked and ended."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass

from esr_server.codecs.channel import Channel, Head, MessageLimits
from esr_server.codecs.frame_slots import FrameSlots
from esr_server.codecs.messages import error_from
from esr_server.errors import CodecProcessError, DecoderDiedError, EncoderDiedError

_START_TIMEOUT_S = 60.0
"""For a Python that imports FFmpeg on a busy machine; half a second on a quiet one."""


class ForkServer:
    """The process that starts processes. It is started again if it dies. Safe to use from any thread."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._running: tuple[socket.socket, subprocess.Popen[bytes]] | None = None

    def spawn(self, memory: int) -> tuple[socket.socket, int]:
        """Start a process that maps the file `memory`; return the connection to it and its pidfd.

        Raises:
            CodecProcessError: the system starts no more processes.
        """
        with self._lock:
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    control = self._control()
                    socket.send_fds(control, [b"f"], [theirs.fileno(), memory])
                answer, descriptors, _, _ = socket.recv_fds(control, 16, 1)
                if not answer:
                    raise EOFError("the fork server ended")
            except (OSError, EOFError) as error:
                # Its answer may still come, and would be taken for that to the next request.
                self._end(0.0)
                ours.close()
                raise CodecProcessError(f"no process can be started for a codec: {error}") from error
        if not descriptors:
            ours.close()
            reason = os.strerror(int(answer) or errno.EMFILE)
            raise CodecProcessError(f"no process can be started for a codec: {reason}")
        return ours, descriptors[0]

    def close(self) -> None:
        """End it, and every process that it started."""
        with self._lock:
            self._end(self._timeout_s)

    def _end(self, timeout_s: float) -> None:
        if self._running is None:
            return
        control, process = self._running
        self._running = None
        control.close()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _control(self) -> socket.socket:
        if self._running is not None:
            control, process = self._running
            if process.poll() is None:
                return control
            control.close()
        ours, theirs = socket.socketpair()
        ours.settimeout(_START_TIMEOUT_S)
        with theirs:
            # It finds this package where this process found it, and gets no token. numpy needs one thread there.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("ESR_")}
            environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
            command = [sys.executable, "-m", "esr_server.codecs.forkserver", str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)
        self._running = ours, process
        if not ours.recv(1):
            raise EOFError("the fork server did not start")
        ours.settimeout(self._timeout_s)
        return ours


@dataclass(frozen=True, slots=True)
class CodecKind:
    """Which codec a process has, and what it means for the stream if it dies."""

    noun: str
    error: type[CodecProcessError]
    most: MessageLimits


DECODER = CodecKind("decoder", DecoderDiedError, MessageLimits(1 << 20, 0))
ENCODER = CodecKind("encoder", EncoderDiedError, MessageLimits(1 << 20, 1 << 29))


def end_process(pidfd: int) -> None:
    """Kill a process, and close its descriptor."""
    with suppress(ProcessLookupError):  # it has ended, and is gone
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)


class CodecProcess:
    """A process with one codec. One thread asks it at a time; any thread may kill it."""

    def __init__(
        self, forkserver: ForkServer, memory: FrameSlots, kind: CodecKind, timeout_s: float, head: Head
    ) -> None:
        """Start the process, and have it open the codec of `head`.

        Raises:
            UpscaleError: the codec does not open.
            CodecProcessError: the process died, or did not answer in `timeout_s` seconds.
        """
        self._kind, self._timeout_s, self._memory = kind, timeout_s, memory
        connection, self._pidfd = forkserver.spawn(memory.file)
        self._channel = Channel(connection, kind.most)
        self._lock = threading.Lock()
        self._ender = weakref.finalize(self, end_process, self._pidfd)  # also of one that is never closed
        try:
            self.ask(head)
        except BaseException:
            self.close()
            raise

    def ask(self, head: Head, data: bytes = b"", timeout_factor: int = 1) -> tuple[Head, bytes]:
        """Send a request; return the answer. It may take `timeout_factor` times the timeout.

        Raises:
            UpscaleError: what the codec raised.
            CodecProcessError: the process died, or did not answer in time; it is killed then.
        """
        limit_s = self._timeout_s * timeout_factor
        deadline_s = time.monotonic() + limit_s
        try:
            self._channel.send(head, data, deadline_s)
            answer, payload = self._channel.receive(deadline_s)
        except TimeoutError:
            self.kill()
            raise self._kind.error(f"the {self._kind.noun} did not answer in {limit_s:g} s, and was stopped") from None
        except (EOFError, OSError) as error:
            self.kill()
            raise self._kind.error(f"the {self._kind.noun} crashed, or took more memory than it may") from error
        except ValueError as error:
            raise self.fault(error) from error
        if "error" in answer:
            try:
                failure = error_from(answer)
            except Exception as error:  # of any kind: the answer may be anything
                raise self.fault(error) from error
            raise failure
        return answer, payload

    def kill(self) -> None:
        """End the process at once. A thread that waits for its answer gets an error."""
        with self._lock:
            if self._ender.alive:
                with suppress(ProcessLookupError):  # it has ended, and is gone
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """End the process, and let go of its memory. No thread may ask it any more."""
        with self._lock:
            self._ender()
        self._channel.close()
        self._memory.close()

    def fault(self, error: Exception) -> CodecProcessError:
        """Return the error for an answer that cannot be right; the process is killed."""
        self.kill()
        return self._kind.error(f"the {self._kind.noun} gave an answer that cannot be right: {error!r}"[:500])
