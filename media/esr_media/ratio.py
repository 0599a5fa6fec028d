"""Ratios of PyAV, such as time bases."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol


class _Ratio(Protocol):
    """A ratio as PyAV gives it: a Fraction, or from version 19 on an AVRational."""

    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def to_fraction(ratio: _Ratio | None) -> Fraction | None:
    """Return a ratio of PyAV's; None if it is not positive, as in damaged files, or not set.

    For one that is not set, PyAV 18 has None and 19 a ratio that is false.
    """
    return Fraction(ratio.numerator, ratio.denominator) if ratio and ratio.numerator * ratio.denominator > 0 else None
