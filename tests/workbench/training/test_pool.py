"""Pools: what fails costs itself, what is finished is left alone, what was stopped goes on."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import esr_workbench
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, load_card, load_weights, resolve, save_weights
from esr_workbench.cli import app
from esr_workbench.model_files.cards import NODES
from esr_workbench.training.checkpoint import Checkpoint
from esr_workbench.training.one_layer import PatchTrainer
from esr_workbench.training.pool import read_pool
from esr_workbench.training.run import TrainingSettings
from tests.support.pictures import write_tiles
from tests.support.training import stopped_in_step

RUNNER = CliRunner()
POOL = """
steps = 3
restarts = 2
[[models]]
names = ["esr_max_x2_k3_c1", "esr_mix_x2"]
[[models]]
names = ["esr_tm_x2_k3_c1"]
steps = -1
[[models]]
names = ["esr_tm_x2_k3_c2", "esr_tr_x2_k3_c1"]
steps = 4
"""


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("data") / "tiles")


def _pool(tmp_path: Path, text: str = POOL) -> Path:
    path = tmp_path / "pool.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_failures_cost_themselves(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_some(spec: ModelSpec, *others: Any) -> Path:
        return save_weights(spec, *others) if spec.canonical_id != "esr_tm_x2_k3_c2" else Path("/" * (1 // 0))

    command = ["train", "--pool", str(_pool(tmp_path)), "--tiles", str(tiles), "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patched:
        patched.setattr("esr_workbench.training.run.save_weights", save_some)
        result = RUNNER.invoke(app, command)
    assert result.exit_code == 1
    assert "esr_mix_x2: failed: no model is named" in result.stderr
    assert "esr_tm_x2_k3_c1: failed: steps = -1 is not possible" in result.stderr
    assert "esr_tm_x2_k3_c2: failed: ZeroDivisionError" in result.stderr
    states = [row.split("|")[2].strip() for row in result.stdout.splitlines()[2:]]
    assert states == ["trained", "failed", "failed", "failed", "trained"]
    again = RUNNER.invoke(app, command)
    states = [row.split("|")[2].strip() for row in again.stdout.splitlines()[2:]]
    assert states == ["finished before", "failed", "failed", "trained", "finished before"]
    assert again.stdout.splitlines()[2].split("|")[3].strip() == "3"


def test_an_interrupted_model_goes_on(tiles: Path, tmp_path: Path) -> None:
    spec = resolve("esr_tm_x2_k3_c2")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    file = _pool(tmp_path, f'model = "{spec.paper_id}"\nsteps = 12\nrestarts = 2\n')
    command = ["train", str(file), "--tiles", str(tiles), "--out"]
    assert RUNNER.invoke(app, [*command, str(whole)]).exit_code == 0
    with stopped_in_step(PatchTrainer, 5):
        stopped = RUNNER.invoke(app, [*command, str(parts)])
    assert stopped.exit_code == 128 + signal.SIGTERM
    assert "stopped before step 6 of 12" in stopped.stderr
    assert Checkpoint(spec, parts).exists()
    other = RUNNER.invoke(app, [*command, str(parts), "--seed", "2"])
    assert "is of a run with seed = 1" in other.stderr
    assert RUNNER.invoke(app, [*command, str(parts)]).exit_code == 0
    assert load_weights(spec, parts)["filter.weight"].tolist() == load_weights(spec, whole)["filter.weight"].tolist()


def test_an_emphasis_is_on_the_card(tiles: Path, tmp_path: Path) -> None:
    text = 'emphasis = { drawing = 2 }\nsteps = 2\nrestarts = 1\n[[models]]\nnames = ["esr_max_x2_k3_c1"]'
    command = ["train", "--pool", str(_pool(tmp_path, text)), "--tiles", str(tiles), "--out", str(tmp_path)]
    assert RUNNER.invoke(app, command).exit_code == 0
    assert "8 luma tiles, drawing… drawn 2 times as often;" in load_card(resolve("esr_max_x2_k3_c1"), tmp_path).data


def test_a_run_from_weights_says_so_on_its_card(tiles: Path, tmp_path: Path) -> None:
    spec = resolve("espcn_x2")
    command = ["train", "espcn_x2", "--tiles", str(tiles), "--steps", "4", "--out", str(tmp_path / "out")]
    assert RUNNER.invoke(app, [*command, "--start", "shipped"]).exit_code == 0
    card, before = load_card(spec, tmp_path / "out"), load_card(spec)
    assert card.recipe.startswith(before.recipe + "; from there 4 steps")
    assert card.data.startswith(before.data + "; from there 8 luma tiles")
    assert card.credits == (*before.credits, "drawing (there), CC-BY-4.0: p1.jpg")
    change = load_weights(spec, tmp_path / "out")["net.0.weight"] - load_weights(spec)["net.0.weight"]
    assert 0 < np.abs(change).max() < 0.1


def test_the_licence_of_weights_goes_on(tiles: Path, tmp_path: Path) -> None:
    spec = resolve("espcn_x2_zeros")
    imported = dataclasses.replace(load_card(resolve("espcn_x2")), model=spec.canonical_id, licence="GPL-3.0-only")
    save_weights(spec, load_weights(resolve("espcn_x2")), imported, tmp_path / "imported")
    command = ["train", "espcn_x2_zeros", "--tiles", str(tiles), "--steps", "4", "--out", str(tmp_path / "out")]
    assert RUNNER.invoke(app, [*command, "--start", str(tmp_path / "imported")]).exit_code == 0
    assert load_card(spec, tmp_path / "out").licence == "GPL-3.0-only"
    again = [*command, "--start", str(tmp_path / "imported"), "--overwrite", "--licence", "LGPL-3.0-only OR MIT"]
    assert RUNNER.invoke(app, again).exit_code == 0
    assert load_card(spec, tmp_path / "out").licence == "LGPL-3.0-only OR MIT"


def test_a_licence_that_is_none(tiles: Path, tmp_path: Path) -> None:
    command = ["train", "esr_tr_x2", "--tiles", str(tiles), "--out", str(tmp_path), "--licence", "see the file!"]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 2
    assert "'see the file!' is no licence for a card: it takes an SPDX id such as CC-BY-4.0" in result.stderr


def test_weights_that_no_run_can_start_from(tiles: Path, tmp_path: Path) -> None:
    command = ["train", "--tiles", str(tiles), "--out", str(tmp_path), "--steps", "1", "--start"]
    refusal = RUNNER.invoke(app, [*command, str(tmp_path), "espcn_x2"])
    assert refusal.exit_code == 2
    assert "has no weights of espcn_x2_d10_s15 to start from" in refusal.stderr
    one_layer = RUNNER.invoke(app, [*command, "shipped", "esr_tr_x2"])
    assert one_layer.exit_code == 2
    assert "has one layer and is always trained anew" in one_layer.stderr


def test_a_run_that_grows_from_another_network(tiles: Path, tmp_path: Path) -> None:
    command = ["train", "--tiles", str(tiles), "--steps", "4", "--crop", "24", "--out", str(tmp_path)]
    assert RUNNER.invoke(app, [*command, "esr_stack_x2_c4_l6", "--start", "shipped"]).exit_code == 0
    card, before = load_card(resolve("esr_stack_x2_c4_l6"), tmp_path), load_card(resolve("esr_stack_x2_c4_l5"))
    assert before.recipe.count(NODES) == 1  # which the new weights do not come from
    recipe = before.recipe.partition(NODES)[0]
    assert card.recipe.startswith(recipe + "; grown from that esr_stack_x2_c4_l5 and 4 steps")


@pytest.mark.parametrize(("file", "count"), [("pool.toml", 42), ("pool_video.toml", 30)])
def test_the_pools_of_this_project(file: str, count: int) -> None:
    entries = read_pool(Path(esr_workbench.__file__).parent / "training" / file)
    specs = {resolve(entry.name) for entry in entries}
    assert len(specs) == len(entries) == count
    assert {spec.clean for spec in specs} == {file == "pool.toml"}
    for entry in entries:
        TrainingSettings.of(entry.settings)


@pytest.mark.parametrize("text", ["x = [", "steps = 3", "models = 3", "[[models]]\nnames = []"])
def test_files_that_are_no_pools(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        read_pool(_pool(tmp_path, text))


NO_SETTINGS: list[dict[str, object]] = [
    {"stepz": 3},
    {"steps": 2.5},
    {"seconds": "9"},
    {"rate": 0.0},
    {"seed": True},
    {"emphasis": 2.5},
    {"emphasis": {"photo": 0}},
    {"emphasis": {"photo": True}},
    {"start": ""},
    {"start": 3},
]


@pytest.mark.parametrize("settings", NO_SETTINGS)
def test_settings_that_are_none(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        TrainingSettings.of(settings)
