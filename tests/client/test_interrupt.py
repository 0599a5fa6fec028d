"""Work on a thread, and a main thread that only waits."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from esr_client.cli._interrupt import interruptible


def test_a_result_and_an_error_come_through() -> None:
    assert interruptible(lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0, lambda: None)


@pytest.mark.parametrize("own_thread", [False, True], ids=["the main thread gets it", "another thread gets it"])
def test_an_interruption_stops_the_work_and_goes_on(own_thread: bool) -> None:
    """The kernel may deliver a signal on any thread, where it wakes up no lock that the main one waits for."""
    main = threading.get_ident()
    stopped = threading.Event()

    def interrupt() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident() if own_thread else main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: stopped.wait(20), stopped.set)
    assert time.monotonic() - started < 10
    assert stopped.is_set()
    interrupter.join()
