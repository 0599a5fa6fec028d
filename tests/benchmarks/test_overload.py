"""Which stream stays after an overload: one that was admitted and has left the best model."""

from __future__ import annotations

import math

import pytest

from benchmarks.camera import Take
from benchmarks.overload import LADDER, best_again_s, most_run_best, place_that_stays

BEST, LOWER = f"{LADDER[0]}_c2_d7_s3", LADDER[-1]


def _take(*models: str, refusal: str = "") -> Take:
    return Take(30, models=[(float(at_s), model) for at_s, model in enumerate(models)], refusal=refusal)


def test_a_refused_stream_does_not_stay() -> None:
    """The stream that `min` found first had been refused, and had no model at all (issue 17)."""
    takes = [_take(refusal="no capacity"), _take(BEST, BEST), _take(BEST, LOWER), _take(LOWER, refusal="evicted")]
    assert place_that_stays(takes) == 2
    assert best_again_s(takes[2], 0.5) == math.inf


def test_a_stream_back_on_the_best_rung_stays() -> None:
    takes = [_take(BEST, BEST), _take(LOWER, BEST), _take(refusal="no capacity")]
    assert place_that_stays(takes) == 1
    assert best_again_s(takes[1], -0.5) == 0.5


def test_no_stream_stays_without_an_overload() -> None:
    assert place_that_stays([_take(BEST), _take(), _take(refusal="no capacity")]) is None


@pytest.mark.parametrize(
    ("takes", "expected"),
    [
        ([_take()], True),
        ([_take(BEST), _take(refusal="x"), _take(refusal="x")], True),
        ([_take(BEST), _take(LOWER)], False),
        ([_take(BEST), _take(BEST), _take(LOWER), _take(refusal="x")], True),
    ],
)
def test_streams_are_added_until_half_leave_the_best(takes: list[Take], expected: bool) -> None:
    assert most_run_best(takes) is expected
