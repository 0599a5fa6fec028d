"""The fit of what made a source small: it prefers the sets that gain, and says what they are worth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelCard, Source, WeightNodes, load_weights, resolve, save_weights
from esr_upscale.models.nodes import DOWNSCALERS
from esr_workbench.cli import app
from esr_workbench.estimates.source_downscaler import SHARES, PictureSample, SetJudge, fit, sample_pictures
from tests.support.pictures import random_weights, synthetic_luma, write_tiles

SPEC = resolve("esr_max_x2_k3_c1")
TRAINED = load_weights(SPEC)
NODES = WeightNodes({Source(0.0): random_weights(SPEC), Source(0.0, "area"): TRAINED, Source(17.0): TRAINED})


def test_sets_are_judged_by_what_they_gain() -> None:
    large = synthetic_luma(64, 64)
    small = large.reshape(32, 2, 32, 2).mean((1, 3)).round().astype(np.uint8)
    gains = dict(zip(DOWNSCALERS, SetJudge(SPEC, NODES).gains_db(0.0, small, large), strict=True))
    assert gains["area"] > 1
    assert gains["sharp"] == 0  # there is no such set


def test_samples(tmp_path: Path) -> None:
    tiles = [synthetic_luma(256, 256, seed) for seed in range(3)]
    samples = sample_pictures(tiles, SetJudge(SPEC, NODES), 2, 1, lambda _, __: None)
    assert [(sample.clip, sample.name) for sample in samples] == [(clip, name) for clip in (0, 1) for name in SHARES]
    assert {sample.node for sample in samples} == {0.0}  # the other node has no sets for downscalers


def _samples(node: float, spread: float, per_name: int = 60) -> list[PictureSample]:
    rng, samples = np.random.default_rng(2), []
    for number in range(per_name):
        for name in SHARES:
            features: NDArray[np.float64] = rng.normal(0, spread, 3)
            features[0] += {"area": 1.0, "lanczos3": -1.0}.get(name, 0.0)
            gains = {"area": (0.3, -0.5), "lanczos3": (-0.5, 0.3)}.get(name, (-0.2, 0.1))
            samples.append(PictureSample(number, node, name, features, gains))
    return samples


def test_the_fit_takes_what_gains() -> None:
    functions, figures = fit([*_samples(0.0, 0.1), *_samples(17.0, 30.0)])
    assert functions.keys() == {0.0, 17.0}
    assert figures["0"]["area"] == {"pictures": 15, "gain_db": 0.3, "best_gain_db": 0.3}
    assert figures["0"]["bicubic"]["gain_db"] == 0.1
    unclear = functions[17.0].expected_gains_db(functions[17.0].scores(np.zeros(3)))
    assert unclear[0] < unclear[1]  # what is safe


def test_too_few_pictures() -> None:
    with pytest.raises(InvalidInputError, match="of sources near 25 there are 105 pictures; make more clips"):
        fit([*_samples(0.0, 0.1), *_samples(25.0, 0.1, per_name=20)])


@pytest.mark.parametrize("model", ["esr_tr_x2", "esr_stack_x3"])
def test_a_model_without_sets_for_downscalers(model: str, tmp_path: Path) -> None:
    tiles = write_tiles(tmp_path / "tiles", size=256)
    command = ["calibrate", "--tiles", str(tiles), "--estimate", "downscaler", "--model", model]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out.json")])
    assert result.exit_code == 2
    assert "--model is a model of x2 with sets for downscalers" in " ".join(result.stderr.split())


def test_the_command(tmp_path: Path) -> None:
    tiles = write_tiles(tmp_path / "tiles", size=256)
    card = ModelCard(SPEC.canonical_id, "edge", "", "", (), "CC0-1.0", {}, "2026-11-28", {}, 1)
    save_weights(SPEC, TRAINED, card, tmp_path / "w", NODES)
    command = ["calibrate", "--tiles", str(tiles), "--estimate", "downscaler", "--model", SPEC.canonical_id]
    out = tmp_path / "out.json"
    result = CliRunner().invoke(app, [*command, "--weights", str(tmp_path / "w"), "--clips", "48", "--out", str(out)])
    assert result.exit_code == 0, result.output
    content = json.loads(out.read_text())
    assert content["made"]["model"] == SPEC.canonical_id
    assert content["functions"]["0"]["names"] == list(SHARES)
    assert content["held_out"]["0"]["area"]["pictures"] == 12
    assert "made small by" in result.stdout
