"""Threads of this process, those of native libraries too."""

from __future__ import annotations

import os


def policies() -> set[int]:
    """The scheduling policies of all threads, such as `os.SCHED_OTHER`."""
    result = set()
    for name in os.listdir("/proc/self/task"):
        try:
            result.add(os.sched_getscheduler(int(name)))
        except ProcessLookupError:
            continue  # it has ended meanwhile
    return result


def count() -> int:
    """How many threads there are."""
    return len(os.listdir("/proc/self/task"))
