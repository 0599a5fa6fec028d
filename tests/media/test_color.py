"""Colour tags, also those of a newer peer, on both sides of the wire."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert
from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.ratio import to_fraction
from esr_server.errors import ConfigError
from esr_server.rpc import convert


def test_a_number_that_is_not_known_is_unspecified() -> None:
    assert ColorRange(9) is ColorRange.UNSPECIFIED
    assert ChromaLocation(9) is ChromaLocation.UNSPECIFIED
    with pytest.raises(ValueError, match="'full'"):
        ColorRange("full")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (pb.Color(), Color()),
        (
            pb.Color(range=pb.COLOR_RANGE_FULL, primaries=1, transfer=13, matrix=5, chroma_location=3),  # type: ignore[arg-type]
            Color(ColorRange.FULL, 1, 13, 5, ChromaLocation.TOPLEFT),
        ),
        (pb.Color(range=9, chroma_location=9), Color()),  # type: ignore[arg-type]
    ],
    ids=["unset", "set", "of a newer peer"],
)
def test_both_sides_read_the_same(message: pb.Color, expected: Color) -> None:
    fmt = pb.VideoFormat(width=4, height=2, pixel_format="gray", color=message)
    assert convert.format_value(fmt).color == expected
    assert _convert.format_from(fmt).color == expected


@pytest.mark.parametrize(("num", "den"), [(0, 0), (0, 1), (4, 0)])
def test_an_aspect_ratio_of_zero_is_unknown(num: int, den: int) -> None:
    fmt = pb.VideoFormat(sample_aspect_ratio=pb.Rational(num=num, den=den))
    assert convert.format_value(fmt).sample_aspect_ratio is None
    assert _convert.format_from(fmt).sample_aspect_ratio is None


@pytest.mark.parametrize(("num", "den"), [(-(2**31), -1), (-4, 3), (4, -3)])
def test_a_negative_aspect_ratio(num: int, den: int) -> None:
    """The server refuses it; the client, which a server of another version may send it to, takes it for unknown."""
    fmt = pb.VideoFormat(sample_aspect_ratio=pb.Rational(num=num, den=den))
    with pytest.raises(ConfigError, match=f"must be a positive ratio, such as 4/3, not {num}/{den}"):
        convert.format_value(fmt)
    assert _convert.format_from(fmt).sample_aspect_ratio is None


@pytest.mark.parametrize("ratio", [(-4, 3), (4, -3), (0, 1)], ids=str)
def test_a_ratio_of_pyav_that_is_not_positive(ratio: tuple[int, int]) -> None:
    assert to_fraction(SimpleNamespace(numerator=ratio[0], denominator=ratio[1])) is None
