"""What the demo reads of /metrics, and differences of it."""

from __future__ import annotations

import math

import pytest

from deploy.demo.scrape import Histogram, Scrape

EARLIER = Histogram(((0.01, 4.0), (0.1, 4.0), (math.inf, 4.0)))
LATER = Histogram(((0.01, 4.0), (0.1, 14.0), (math.inf, 14.0)))


def test_histogram_difference() -> None:
    since = LATER - EARLIER
    assert since.count == 10
    assert since.quantile(0.5) == pytest.approx(0.055)
    assert LATER - Histogram(()) == LATER


def test_quantile_of_nothing() -> None:
    assert math.isnan((EARLIER - EARLIER).quantile(0.5))


def test_scrape_difference() -> None:
    earlier, later = Scrape(4, {"luma": EARLIER}, EARLIER), Scrape(14, {"luma": LATER, "send": LATER}, LATER)
    since = later - earlier
    assert since.frames == 10
    assert since.stages == {"luma": LATER - EARLIER, "send": LATER}
    assert since.latency == LATER - EARLIER
