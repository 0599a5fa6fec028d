"""Threads that codecs start: they have no more right to the processor than the thread that opened the codec."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_TASKS = "/proc/self/task"


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Have the threads that the block starts scheduled as this one is, and this one as before.

    SVT-AV1, where root runs it, gives real-time priority (SCHED_FIFO) to its threads and to the one that opens it, for
    good. All other threads of the machine, those of other streams too, would wait until those rest.
    """
    if not os.path.isdir(_TASKS):  # no Linux, and nothing of the kind there
        yield
        return
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        for thread in {0, *_threads() - before}:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(name) for name in os.listdir(_TASKS)}
