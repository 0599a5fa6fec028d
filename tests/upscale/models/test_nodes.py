"""Weights for sources of known quality: in a file with the blind ones, and between two nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from esr_upscale.errors import WeightsError
from esr_upscale.models import (
    ModelCard,
    Source,
    WeightNodes,
    load_nodes,
    load_weights,
    read_weights_file,
    resolve,
    save_weights,
)
from esr_upscale.models.nodes import CLEAN, WORST, served_by

SPEC = resolve("esr_max_x2_k3_c1")
NAME = "filter.weight"
CARD = ModelCard(SPEC.canonical_id, "edge", "none", "none", (), "CC0-1.0", {}, "2026-01-01", {}, 7)


def _set(value: float) -> dict[str, NDArray[np.float32]]:
    return {NAME: np.full((4, 1, 3, 3), value, np.float32)}


NODES = WeightNodes({Source(0.0): _set(1), Source(20.0): _set(3), Source(30.0): _set(-1)})


@pytest.mark.parametrize(
    ("quantizer", "node"),
    [(0, 0), (8.5, 0), (8.6, None), (11.4, None), (11.5, 20), (24.9, 20), (25.1, 30), (30, 30), (51, 30)],
    ids="{}".format,
)
def test_the_node_of_a_source(quantizer: float, node: float | None) -> None:
    source = NODES.node(Source(quantizer))
    assert source == (None if node is None else Source(node))
    if source is not None:
        assert NODES.at(source)[NAME][0, 0, 0, 0] == {0: 1, 20: 3, 30: -1}[int(source.quantizer)]


@pytest.mark.parametrize("quantizers", [(30.0,), (0.0, 20.0, 30.0), (0.0, 17.0, 25.0, 29.0)], ids=str)
def test_a_node_serves_between_its_bounds(quantizers: tuple[float, ...]) -> None:
    nodes = WeightNodes({Source(quantizer): _set(1) for quantizer in quantizers})
    for node in quantizers:
        least, most = served_by(node, quantizers)
        inside = [least + 0.01, (least + most) / 2, most - 0.01]
        assert [nodes.node(Source(quantizer)) for quantizer in inside] == [Source(node)] * 3
        outside = [quantizer for quantizer in (least - 0.01, most + 0.01) if CLEAN <= quantizer <= WORST]
        assert Source(node) not in [nodes.node(Source(quantizer)) for quantizer in outside]


def test_below_the_first_node_the_blind_set_serves() -> None:
    poor = WeightNodes({Source(30.0): _set(1)})
    served = [poor.node(Source(quantizer)) for quantizer in (0.0, 21.4, 21.5, 51.0)]
    assert served == [None, None, Source(30.0), Source(30.0)]


def test_a_set_for_a_downscaler() -> None:
    nodes = WeightNodes({**NODES.sets, Source(20.0, "area"): _set(5)})
    assert nodes.quantizers == NODES.quantizers
    assert nodes.node(Source(19.0, "area")) == Source(20.0, "area")
    assert nodes.node(Source(19.0, "sharp")) == nodes.node(Source(19.0)) == Source(20.0)
    assert nodes.node(Source(31.0, "area")) == Source(30.0)  # which has none
    apart = [nodes.tells_apart(Source(quantizer)) for quantizer in (0.0, 10.0, 19.0, 31.0)]
    assert apart == [False, False, True, False]


def test_round_trip(tmp_path: Path) -> None:
    saved = WeightNodes({**NODES.sets, Source(0.0, "area"): _set(5)})
    path = save_weights(SPEC, _set(7), CARD, tmp_path, saved)
    assert np.array_equal(load_weights(SPEC, tmp_path)[NAME], _set(7)[NAME])
    for nodes in (load_nodes(SPEC, tmp_path), read_weights_file(path, "it").nodes):
        assert nodes is not None
        values = {str(source): tensors[NAME][0, 0, 0, 0] for source, tensors in nodes.sets.items()}
        assert values == {"0": 1, "0/area": 5, "20": 3, "30": -1}


def test_a_file_without_nodes(tmp_path: Path) -> None:
    path = save_weights(SPEC, _set(7), CARD, tmp_path)
    assert load_nodes(SPEC, tmp_path) is None
    assert read_weights_file(path, "it").nodes is None
    assert load_nodes(resolve("bicubic_x2")) is None


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({f"{NAME}@much": _set(1)[NAME]}, "belongs to no node: after @ must come a quantiser of 0 … 51"),
        ({f"{NAME}@52": _set(1)[NAME]}, "belongs to no node"),
        ({f"{NAME}@9/nearest": _set(1)[NAME]}, "quantiser/downscaler of area, sharp, not '9/nearest'"),
        ({f"{NAME}@9/area": _set(1)[NAME]}, "node 9 lacks a set for any downscaler"),
        ({"other@20": _set(1)[NAME], f"{NAME}@0": _set(1)[NAME]}, f"node 20 of it lacks tensor '{NAME}'"),
        (
            {f"{NAME}@0": _set(1)[NAME][:2], f"{NAME}@9": _set(1)[NAME]},
            "node 0 of it: tensor 'filter.weight' is float32",
        ),
    ],
    ids=["no number", "too large", "no downscaler", "not for any", "other tensor", "other shape"],
)
def test_damaged_nodes(tmp_path: Path, added: dict[str, NDArray[np.float32]], message: str) -> None:
    path = tmp_path / f"{SPEC.canonical_id}.safetensors"
    save_file(_set(7) | added, path)
    with pytest.raises(WeightsError, match=message):
        read_weights_file(path, "it")
