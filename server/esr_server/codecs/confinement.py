"""What the process of a codec may not do: gain privileges, outlive what started it, or take all memory.

Linux only, as the processes are.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38  # linux/prctl.h
_MOST_FILES = 32


def confine(parent: int) -> None:
    """Give up what a codec does not need: new privileges, core dumps, files. End with the process `parent`.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))):
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
    if os.getppid() != parent:  # it ended before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, _MOST_FILES)):
        resource.setrlimit(kind, (most, most))


def limit_memory(more_bytes: int) -> None:
    """Limit private memory to what the process has, and `more_bytes`. Shared memory does not count.

    RLIMIT_DATA counts what can be written to (Linux 4.7); RLIMIT_AS would count the sparse memory for frames too.
    """
    most = _data_bytes() + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _data_bytes() -> int:
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmData"].split()[0]) * 1024
