"""Work that Ctrl-C can stop at any time.

Python raises KeyboardInterrupt in the main thread wherever it is, also between taking a lock and giving it back. If
that lock is one of gRPC's, closing the channel waits forever. So the main thread only waits, and another one works.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")

_POLL_S = 0.02


def interruptible(work: Callable[[], ResultT], stop: Callable[[], object]) -> ResultT:
    """Give the result of `work`, which runs on a thread; raise what it raises.

    When this thread is interrupted, `stop` is called, which must make `work` end, and the interruption goes on after
    that end.
    """
    results: list[ResultT] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    # A daemon: a second Ctrl-C must not wait for work that does not end.
    threading.Thread(target=run, name="esr-client", daemon=True).start()

    def wait() -> None:
        # Not on a lock: the kernel may hand a signal to any thread, and Python acts on it when the main one wakes up.
        while not (results or errors):
            time.sleep(_POLL_S)

    try:
        wait()
    except BaseException:
        stop()
        wait()
        raise
    if errors:
        raise errors[0]
    return results[0]
