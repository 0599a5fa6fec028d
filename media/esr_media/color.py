"""Colour tags of pictures, with FFmpeg's and H.273's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

UNSPECIFIED = 2
"""The code point "unspecified" of ITU-T H.273."""


class ColorRange(IntEnum):
    """FFmpeg's AVColorRange: limited is 16–235 in 8 bit, full is 0–255."""

    UNSPECIFIED = 0
    LIMITED = 1
    FULL = 2

    @classmethod
    def _missing_(cls, value: object) -> ColorRange | None:
        # A newer peer or file may have numbers that this version does not know.
        return cls.UNSPECIFIED if isinstance(value, int) else None


class ChromaLocation(IntEnum):
    """FFmpeg's AVChromaLocation: where a subsampled chroma sample lies in its cell of luma samples.

    Unspecified is taken as left.
    """

    UNSPECIFIED = 0
    LEFT = 1
    CENTER = 2
    TOPLEFT = 3
    TOP = 4
    BOTTOMLEFT = 5
    BOTTOM = 6

    @classmethod
    def _missing_(cls, value: object) -> ChromaLocation | None:
        return cls.UNSPECIFIED if isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class Color:
    """Colour tags, carried through and never applied. Code points of ITU-T H.273; 2 is "unspecified"."""

    range: ColorRange = ColorRange.UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED
