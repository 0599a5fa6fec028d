"""A server of one's own: a child process on a Unix socket that no one else can reach, gone with its client."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from esr_client._client import Client
from esr_client._config import Options
from esr_client._errors import EsrError, PrivateServerError

__all__ = ["DEFAULT_MODEL", "PrivateServer"]

DEFAULT_MODEL = "esr_stack_x2_c4_l5"
"""The model of a private server that no call names one for; as `esr-serve`'s."""

_START_TIMEOUT_S = 120.0
_POLL_S = 0.05
_PATIENCE_S = 10.0
_LONGEST_SOCKET_PATH = 100  # of the 107 bytes that Linux allows, 103 elsewhere
_LOG_TAIL_BYTES = 2000


class PrivateServer:
    """A server for one model (NAME, or NAME=FILE for weights of your own), for as long as this object is open.

    It starts at once; `wait` for it. Make it before any channel: gRPC and forking do not go together. The child ends
    when its standard input does, which the system closes however this process ends.
    """

    def __init__(self, model: str) -> None:
        # A fresh folder for this user only (0700), short enough for a socket's name.
        directory = tempfile.mkdtemp(prefix="esr-")
        if len(os.fsencode(directory)) > _LONGEST_SOCKET_PATH:
            os.rmdir(directory)
            directory = tempfile.mkdtemp(prefix="esr-", dir="/tmp")
        self._directory = Path(directory)
        self._is_ready = False
        self.target = f"unix:{self._directory / 's'}"
        """What a client connects to."""
        with open(self._log, "wb") as log:
            # -P: a folder named esr_server where the caller happens to stand is not the server.
            command = [sys.executable, "-P", "-m", "esr_server", "--listen", self.target]
            command += ["--no-http", "--exit-with-stdin", "--model", model]
            # A session of its own: Ctrl-C is for the client, which then closes this server.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    @property
    def pid(self) -> int:
        """Return the process id of the server, a child of this process."""
        return self._process.pid

    def wait(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until it serves.

        Raises:
            PrivateServerError: it does not; the message has the end of its log.
        """
        end = time.monotonic() + timeout_s
        with Client(self.target, Options()) as client:
            while not self._serves(client):
                if self._process.poll() is not None:
                    log = b""
                    with contextlib.suppress(FileNotFoundError):  # closed while another thread waits for it
                        log = self._log.read_bytes()[-_LOG_TAIL_BYTES:]
                    raise PrivateServerError(_failure_message(log.decode(errors="replace").strip()))
                if time.monotonic() > end:
                    raise PrivateServerError(f"the private server did not start within {timeout_s:g} s")
                time.sleep(_POLL_S)
        self._is_ready = True

    def _serves(self, client: Client) -> bool:
        # Without the socket a channel would only back off, and then wait longer than the server needs.
        if not (self._directory / "s").exists():
            return False
        try:
            return client.status().serving
        except EsrError:
            return False

    def close(self) -> None:
        """End the server: by closing its input, then by SIGTERM, then by SIGKILL. One that does not serve yet holds
        nothing that could be lost, and is ended at once.
        """
        if not self._is_ready:
            self._process.kill()
        _end(self._process)
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _failure_message(log: str) -> str:
    if "ModuleNotFoundError" in log:
        module = log.rpartition("ModuleNotFoundError: ")[2].splitlines()[0]
        return f'the private server needs more than the client ({module}): pip install "edge-sr[server]"'
    # What `esr-serve` says of a wrong model or setting is an answer to the user, and the rest of its log is not.
    answer = re.findall(r"^esr-serve: (.+)$", log, re.MULTILINE)
    return answer[-1] if answer else f"the private server did not start: {log or 'it said nothing'}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    for ask in (process.terminate, process.kill):
        try:
            process.wait(_PATIENCE_S)
            return
        except subprocess.TimeoutExpired:
            ask()
    process.wait()
