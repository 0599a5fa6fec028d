"""The mathematics of taps."""

from __future__ import annotations

import pytest

from esr_upscale.filters import Siting, keys_cubic, polyphase, source_position


def test_keys_interpolates_and_vanishes() -> None:
    assert [keys_cubic(x) for x in (0, 1, 2, 3, -1)] == [1, 0, 0, 0, 0]
    assert keys_cubic(0.5) == pytest.approx(0.5625)
    assert keys_cubic(1.5) == pytest.approx(-0.0625)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("siting", list(Siting))
def test_phases_reproduce_a_quadratic(scale: int, siting: Siting) -> None:
    """a = −0.5 is the one value for which Keys' cubic is exact on polynomials of degree two."""
    for p, phase in enumerate(polyphase(scale, siting)):
        x = source_position(p, scale, siting)
        for power in range(3):
            value = sum(w * (phase.first + k) ** power for k, w in enumerate(phase.weights))
            assert value == pytest.approx(x**power, abs=1e-12)


def test_positions_are_those_of_the_design() -> None:
    assert [source_position(j, 2, Siting.CENTRED) for j in range(2)] == [-0.25, 0.25]
    assert [source_position(j, 2, Siting.COSITED) for j in range(2)] == [-0.125, 0.375]
    assert [source_position(j, 2, Siting.COSITED_LAST) for j in range(2)] == [-0.375, 0.125]
    assert source_position(0, 3, Siting.CENTRED) == pytest.approx(-1 / 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("siting", list(Siting))
def test_a_chroma_sample_keeps_its_place_against_luma(scale: int, siting: Siting) -> None:
    """Output chroma j lies at luma coordinate 2(j + o); luma is scaled centre-aligned; so is that place."""
    for j in range(12):
        place_in_output_luma = 2 * (j + siting.value)
        place_in_input_luma = place_in_output_luma / scale
        input_chroma = place_in_input_luma / 2 - siting.value
        assert source_position(j, scale, siting) == pytest.approx(input_chroma)
