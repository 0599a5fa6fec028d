"""What every test process is set to before the first test is imported."""

from __future__ import annotations

import os
import signal


def pytest_configure() -> None:
    """Give libraries one thread in a worker of pytest-xdist, and let programs that tests start be interrupted."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        # There is a worker for each processor. OpenMP's threads spin while they wait for each other: with two in each
        # of two workers, tests/workbench/training took 269 s, with one 52 s.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A shell starts background jobs with SIGINT ignored, which programs inherit, and Python then has no handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
