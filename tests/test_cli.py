"""`esr`, through its commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esr_upscale.cli import app
from esr_upscale.models import list_models, load_card, load_weights, resolve
from tests.support.pictures import write_tiles

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("data") / "tiles")


def test_models() -> None:
    result = RUNNER.invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    for spec in list_models():
        assert f"| {spec.canonical_id} " in result.stdout


def test_models_needs_no_torch() -> None:
    run = "import sys; from esr_upscale.cli import app; app(['models'], standalone_mode=False)"
    code = f"{run}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_eval(tiles: Path, tmp_path: Path) -> None:
    report, cards = tmp_path / "scores.json", tmp_path / "cards"
    command = ["eval", "bicubic_x2", "eSR-TR_s2_K5_C2", "--data", str(tiles), "--json", str(report)]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["model", "tiles", "mean"]
    scores = json.loads(report.read_text())
    assert list(scores) == ["bicubic_x2", "esr_tr_x2_k5_c2"]
    assert f"{scores['bicubic_x2']['tiles']:.2f}" in lines[2]
    result = RUNNER.invoke(app, ["eval", "bicubic_x2", "--data", str(tiles), "--cards", str(cards)])
    assert result.exit_code == 0, result.output
    assert load_card(resolve("bicubic_x2"), cards).psnr == scores["bicubic_x2"]


def test_train(tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    command = ["train", "esr_max_x2_k3_c2", "--tiles", str(tiles), "--steps", "5", "--restarts", "2"]
    result = RUNNER.invoke(app, [*command, "--seed", "3", "--out", str(out), "--data", str(tiles)])
    assert result.exit_code == 0, result.output
    assert "dB held-out, 5 steps" in result.stdout
    spec = resolve("esr_max_x2_k3_c2")
    assert load_weights(spec, out).keys() == {"filter.weight"}
    card = load_card(spec, out)
    assert card.psnr.keys() == {"tiles"}
    assert (card.seed, card.credits) == (3, ("drawing (there), CC-BY-4.0: p1.jpg",))
    assert "5 steps of Adam" in card.recipe
    listed = RUNNER.invoke(app, ["models", "--weights", str(out)])
    assert "esr_max_x2_k3_c2" in listed.stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["eval", "esr_tr_x22", "--data", "."], "did you mean"),
        (["eval", "esr_tr_x2_k7_c8", "--data", "."], "no model is named"),
        (["eval", "bicubic_x2"], "nothing to judge on"),
        (["eval", "bicubic_x2", "--data", "missing"], "is not a directory"),
        (["train", "bicubic_x2", "--tiles", "missing"], "bicubic cannot be trained"),
        (["train", "esr_tr_x2", "--tiles", "missing"], "is not a directory"),
        (["train", "--tiles", "missing"], "either a model or --pool"),
        (["train", "--tiles", "missing", "--pool", "missing.toml"], "cannot be read as TOML"),
        (["models", "--weights", "missing"], "is not a directory"),
    ],
)
def test_mistakes_are_explained(command: list[str], message: str) -> None:
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 2
    assert "error: " in result.stderr
    assert message in result.stderr
    assert result.stdout == ""
