"""Work that Ctrl-C can stop at any time.

Python raises KeyboardInterrupt in the main thread wherever it is, also between taking a lock and giving it back. If
that lock is one of gRPC's, closing the channel waits forever. So the main thread only waits, and another one works.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")


def interruptible(work: Callable[[], ResultT], stop: Callable[[], object]) -> ResultT:
    """Give the result of `work`, which runs on a thread; raise what it raises.

    When this thread is interrupted, `stop` is called, which must make `work` end, and the interruption goes on after
    that end.
    """
    results: queue.SimpleQueue[ResultT] = queue.SimpleQueue()
    errors: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(work())
        except BaseException as error:
            errors.put(error)
        finally:
            ended.put(None)

    # A daemon: a second Ctrl-C must not wait for work that does not end.
    threading.Thread(target=run, name="esr-client", daemon=True).start()
    try:
        ended.get()
    except BaseException:
        stop()
        ended.get()
        raise
    if not errors.empty():
        raise errors.get()
    return results.get()
