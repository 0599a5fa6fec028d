"""Which filters are taken for mirror images of each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from esr_upscale.backends.halide.edge_sr import filters_of
from esr_upscale.backends.halide.symmetry import are_mirrored, folding_of, orbits_of
from esr_upscale.models import ModelSpec, list_models, load_weights, resolve
from esr_upscale.models.edge_sr import TENSOR
from tests.support.pictures import mirrored, random_weights

ONE_LAYER = [spec for spec in list_models() if TENSOR in spec.tensor_shapes]


@pytest.mark.parametrize("spec", ONE_LAYER, ids=lambda spec: spec.canonical_id)
def test_shipped_networks_of_one_layer_are_mirrored(spec: ModelSpec) -> None:
    assert are_mirrored(filters_of(spec, load_weights(spec), 255))


def test_random_filters_are_not() -> None:
    spec = resolve("esr_tr_x2")
    assert not are_mirrored(filters_of(spec, random_weights(spec), 255))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_one_number_makes_the_difference(scale: int) -> None:
    spec = resolve(f"esr_tm_x{scale}")
    filters = filters_of(spec, mirrored(spec, random_weights(spec)), 255)
    assert are_mirrored(filters)
    weights, bias = filters.weights.copy(), filters.bias.copy()
    for array in (weights, bias):
        array[0, 0] = np.nextafter(array[0, 0], np.float32(np.inf))
    assert not are_mirrored(dataclasses.replace(filters, weights=weights))
    assert not are_mirrored(dataclasses.replace(filters, bias=bias))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_orbits_have_every_phase(scale: int) -> None:
    orbits = orbits_of(scale)
    assert {phase for orbit in orbits for phase in orbit} == set(range(scale**2))
    assert {len(orbit) for orbit in orbits} == {len(folding_of(scale).mirrors)}
    assert len({orbit[0] for orbit in orbits}) == len(orbits)
