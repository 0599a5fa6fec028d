"""Who is taken in, which model each stream can afford, and that nobody goes up and down for ever."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr_server.config import CapacitySettings
from esr_server.errors import OverloadedError, TooDemandingError
from esr_server.models.cost import Cost
from esr_server.scheduling.capacity import Capacity, Demand


@dataclass(frozen=True)
class Rung:
    """A model that is nothing but its cost."""

    name: str
    cost: Cost


BEST, MIDDLE, CHEAP = (Rung(name, Cost(ms * 1e-3, 0.0)) for name, ms in (("best", 10.0), ("middle", 4.0), ("cheap", 1)))
LADDER = (BEST, MIDDLE, CHEAP)


class Clock:
    """A clock that is moved by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _capacity(clock: Clock, **settings: float) -> Capacity[Rung]:
    return Capacity(CapacitySettings(**settings), 1, clock)


def _deliver(capacity: Capacity[Rung], clock: Clock, seconds: float, *, late: bool = False) -> None:
    """Deliver 100 frames a second for some seconds."""
    for _ in range(round(seconds * 100)):
        clock.now_s += 0.01
        capacity.delivered(late=late)


def test_a_stream_alone_has_the_best_model_at_once() -> None:
    capacity = _capacity(Clock())
    share = capacity.admit(Demand(LADDER, 30, 1))
    assert share.rung is BEST
    assert capacity.load == pytest.approx(0.3)


def test_streams_go_down_for_another_and_up_again() -> None:
    clock = Clock()
    capacity = _capacity(clock)
    first, second = (capacity.admit(Demand(LADDER, 40, 1)) for _ in range(2))
    assert (first.rung, second.rung) == (BEST, BEST)
    third = capacity.admit(Demand(LADDER, 40, 1))
    assert sorted(s.rung.name for s in (first, second, third)) == ["best", "middle", "middle"]
    capacity.release(third)
    assert sorted(s.rung.name for s in (first, second)) == ["best", "middle"]
    _deliver(capacity, clock, 0.9)
    assert sorted(s.rung.name for s in (first, second)) == ["best", "middle"]
    _deliver(capacity, clock, 0.2)
    assert (first.rung, second.rung) == (BEST, BEST)


def test_what_does_not_fit_at_its_cheapest_is_refused() -> None:
    capacity = _capacity(Clock())
    running = capacity.admit(Demand((BEST,), 60, 1))
    with pytest.raises(OverloadedError, match=r"asks for 40% of the machine, of which 30% is free; try again later"):
        capacity.admit(Demand((BEST,), 40, 1))
    assert capacity.load == pytest.approx(0.6)
    assert capacity.admit(Demand(LADDER, 40, 1)).rung is MIDDLE
    assert running.rung is BEST


def test_a_stream_that_never_fits_is_told_so() -> None:
    """Not by what late frames say of the machine now, but by what was measured in quiet."""
    clock = Clock()
    capacity = _capacity(clock)
    running = capacity.admit(Demand((BEST,), 60, 1))
    with pytest.raises(
        TooDemandingError, match=r"best at 1 pixels.* takes 91% of it, and streams get 90%.* most 90 fps"
    ):
        capacity.admit(Demand((BEST,), 91, 1))
    slow = Rung("slow", Cost(7.0, 0.0))
    with pytest.raises(TooDemandingError, match=r"cannot keep 29\.97 fps with slow .* at most 0\.128 fps"):
        capacity.admit(Demand((slow,), 29.97, 1))
    with pytest.raises(TooDemandingError, match="cannot keep 91 fps"):
        capacity.change(running, Demand((BEST,), 91, 1))
    assert running.demand.fps == 60
    _deliver(capacity, clock, 2, late=True)
    with pytest.raises(OverloadedError):
        capacity.admit(Demand((BEST,), 89, 1))


def test_a_stream_without_a_rate_asks_for_nothing() -> None:
    capacity = _capacity(Clock())
    capacity.admit(Demand((BEST,), 89, 1))
    assert capacity.admit(Demand((BEST,), None, 1)).rung is BEST
    assert capacity.load == pytest.approx(0.89)


def test_two_frames_at_once_are_twice_the_machine() -> None:
    capacity: Capacity[Rung] = Capacity(CapacitySettings(), 2, Clock())
    assert capacity.fits(Demand((BEST,), 170, 1))
    assert not capacity.fits(Demand((BEST,), 190, 1))


def test_late_frames_send_a_stream_down_for_a_while() -> None:
    clock = Clock()
    capacity = _capacity(clock)
    share = capacity.admit(Demand(LADDER, 80, 1))
    assert share.rung is BEST
    _deliver(capacity, clock, 0.6, late=True)
    assert share.rung is not BEST
    _deliver(capacity, clock, 6.0)
    assert share.rung is BEST


def test_a_late_frame_now_and_then_changes_nothing() -> None:
    clock = Clock()
    capacity = _capacity(clock, late_share=0.1)
    share = capacity.admit(Demand(LADDER, 80, 1))
    for _ in range(20):
        _deliver(capacity, clock, 0.3)
        capacity.delivered(late=True)
    assert share.rung is BEST


def test_who_goes_up_too_soon_waits_longer_each_time() -> None:
    """A machine on which the best model is always late: changes become rare."""
    clock = Clock()
    capacity = _capacity(clock)
    share = capacity.admit(Demand(LADDER, 80, 1))
    rungs = []
    for _ in range(12000):  # two minutes
        clock.now_s += 0.01
        capacity.delivered(late=share.rung is BEST)
        rungs.append(share.rung.name)
    changes = [sum(a != b for a, b in itertools.pairwise(half)) for half in (rungs[:6000], rungs[6000:])]
    assert changes[0] >= 2
    assert changes[1] <= 4
    assert rungs[6000:].count("best") < 600


def test_changing_what_a_stream_asks_for() -> None:
    capacity = _capacity(Clock())
    share = capacity.admit(Demand((CHEAP,), 60, 1))
    other = capacity.admit(Demand((MIDDLE,), 60, 1))
    capacity.change(share, Demand((BEST,), 60, 1))
    assert (share.rung, other.rung) == (BEST, MIDDLE)
    with pytest.raises(OverloadedError, match="asks for now takes 90%"):
        capacity.change(other, Demand((BEST,), 90, 1))
    assert other.rung is MIDDLE
    capacity.release(share)
    capacity.release(other)
    assert capacity.load == 0


def test_a_withdrawn_model_leaves_ladders_with_others() -> None:
    capacity = _capacity(Clock())
    ladder, alone = capacity.admit(Demand(LADDER, 30, 1)), capacity.admit(Demand((BEST,), 30, 1))
    capacity.withdraw("best")
    assert (ladder.rung, alone.rung) == (MIDDLE, BEST)


@given(
    st.lists(st.tuples(st.integers(1, 120), st.integers(1, 3)), max_size=12),
    st.lists(st.booleans(), max_size=30),
)
def test_promises_never_exceed_the_maximum(streams: list[tuple[int, int]], lates: list[bool]) -> None:
    """Whatever comes: at a pressure of 1 the load is at most what may be given away, and no stream loses its place."""
    clock = Clock()
    capacity = _capacity(clock, late_share=1.0)  # nothing is ever late enough
    shares = []
    for fps, rungs in streams:
        try:
            shares.append(capacity.admit(Demand(LADDER[-rungs:], fps, 1)))
        except OverloadedError:
            assert not capacity.fits(Demand(LADDER[-rungs:], fps, 1))
        assert capacity.load <= 0.9 + 1e-9
    for late in lates:
        clock.now_s += 0.3
        capacity.delivered(late=late)
        assert capacity.load <= 0.9 + 1e-9
    for share in shares:
        capacity.release(share)
    assert capacity.load == 0
