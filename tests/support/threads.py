"""How the threads of this process are scheduled."""

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
