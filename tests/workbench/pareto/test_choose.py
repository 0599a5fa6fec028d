"""The frontier and the recommendation, on figures whose answer is plain."""

from __future__ import annotations

import pytest

from esr_upscale.errors import InvalidInputError
from esr_workbench.pareto.choose import MARGIN, Place, Target, frontier, recommend
from esr_workbench.pareto.measure import Size
from tests.workbench.pareto.places import crowd, place

BICUBIC = place("bicubic_x2", 200, 31.0)
FAST = place("esr_max_x2", 100, 32.0)
WORSE = place("esr_tm_x2", 90, 31.9)
GOOD = place("esr_tr_x2", 50, 33.0)
SLOWER = place("espcn_x2", 40, 33.0)
UNKNOWN = place("fsrcnn_x2", 900, None)
ALL = [GOOD, WORSE, UNKNOWN, BICUBIC, SLOWER, FAST]


def _names(places: list[Place]) -> list[str]:
    return [each.measured.spec.canonical_id for each in places]


def test_frontier() -> None:
    assert frontier(ALL) == [BICUBIC, FAST, GOOD]
    assert frontier([UNKNOWN]) == []
    assert frontier([]) == []


def test_equal_places_are_all_kept() -> None:
    twin = place("esr_tm_x2", 50, 33.0)
    assert sorted(_names(frontier([GOOD, twin, SLOWER]))) == ["esr_tm_x2_k5_c4", "esr_tr_x2_k5_c2"]


def test_what_is_left_out_is_beaten() -> None:
    places = crowd()
    front = frontier(places)
    assert [p.measured.fps for p in front] == sorted((p.measured.fps for p in front), reverse=True)
    for left_out in (p for p in places if p not in front):
        assert any(k.measured.fps >= left_out.measured.fps and (k.psnr or 0) >= (left_out.psnr or 0) for k in front)


@pytest.mark.parametrize(
    ("rate", "best"), [(180, BICUBIC), (181, None), (90, FAST), (60, FAST), (45, GOOD), (30, GOOD), (24, GOOD)]
)
def test_recommend(rate: float, best: Place | None) -> None:
    # With a margin of 10 %, a model of 50 frames per second holds 45.
    assert MARGIN == 0.1
    assert recommend(ALL, Target("", Size(1920, 1080), rate - 1e-9)) == best


@pytest.mark.parametrize(
    ("text", "size", "rate"),
    [
        ("1080p60", (1920, 1080), 60),
        ("720p30", (1280, 720), 30),
        ("2160P25", (3840, 2160), 25),
        ("480p29.97", (854, 480), 29.97),
        ("1920x1080@59.94", (1920, 1080), 59.94),
        (" 640×360@24 ", (640, 360), 24),
    ],
)
def test_targets(text: str, size: tuple[int, int], rate: float) -> None:
    target = Target.of(text)
    assert (target.size, target.rate) == (Size(*size), rate)
    assert target.limit_s == pytest.approx(0.9 / rate)


@pytest.mark.parametrize(
    "text", ["", "1080p", "1080", "1080i50", "p60", "1080p0", "1080p-1", "1080p60fps", "1920x1080", "0x8@5", "9p1e3"]
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Target.of(text)


def test_sizes_round_up() -> None:
    assert [Size(1920, 1080).over(s) for s in (2, 3, 4)] == [Size(960, 540), Size(640, 360), Size(480, 270)]
    assert Size(1280, 720).over(3) == Size(427, 240)
    assert Size(427, 240).times(3) == Size(1281, 720)
    for text in ("960", "960x", "x540", "0x540", "960x99999", "960x540x3"):
        with pytest.raises(InvalidInputError, match="is not a size"):
            Size.of(text)
