"""`esr pareto`, through the command line, on frames of a few pixels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from esr_upscale.models import list_models, load_card, load_weights, resolve, save_weights
from esr_workbench.cli import app
from esr_workbench.commands import pareto as command
from esr_workbench.commands.pareto import mean_psnr
from esr_workbench.pareto import power
from tests.workbench.pareto.sysfs import FakeSysfs

RUNNER = CliRunner()
NAMES = ["bicubic_x2", "esr_max_x3_k3_c1", "eSR-TR_s2_K3_C1"]
IDS = ["bicubic_x2", "esr_max_x3_k3_c1", "esr_tr_x2_k3_c1"]


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    # A frame a turn, and no meter, whatever the machine has.
    monkeypatch.setattr(command, "TURN_S", 0.0)
    monkeypatch.setattr(power, "find_meter", lambda device: power.Found(None, ("no meter in tests",)))


def _run(tmp_path: Path, *options: str) -> Result:
    return RUNNER.invoke(app, ["pareto", *options, "--rounds", "1", "--threads", "1", "--out", str(tmp_path / "out")])


def test_all_models_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every model has a kernel to compile: a dozen tell as much as all.
    specs = [
        spec
        for spec in list_models()
        if (spec.scale == 2 and spec.alias and not spec.clean) or spec.family == "bicubic"
    ]
    monkeypatch.setattr(command, "list_models", lambda *_: tuple(specs))
    result = _run(tmp_path, "--size", "16x12", "--json", str(tmp_path / "p.json"))
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "p.json").read_text())
    assert (tmp_path / "out" / "pareto.png").stat().st_size > 10_000
    page = (tmp_path / "out" / "pareto.html").read_text()
    assert len(report["models"]) == len(specs) > 8
    for spec in specs:
        entry = report["models"][spec.canonical_id]
        assert entry["size"] == [16, 12]
        assert entry["output"] == [16 * spec.scale, 12 * spec.scale]
        assert entry["psnr"] == pytest.approx(mean_psnr(spec), abs=1e-3)
        assert entry["joules"] is None
        assert f"| {spec.canonical_id} " in result.stdout
        assert f'<g id="{spec.canonical_id}">' in page
    assert report["power"] == {"meter": None, "notes": ["no meter in tests"]}
    assert "no meter in tests" in result.stdout
    assert "no meter in tests" in page
    assert report["target"] is None


def test_named_models_and_a_recommendation(tmp_path: Path) -> None:
    result = _run(tmp_path, *NAMES, "bicubic_x2", "--recommend", "37x24@0.5", "--json", str(tmp_path / "p.json"))
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "p.json").read_text())
    assert list(report["models"]) == IDS
    # At half a frame a second all will do, and the sides are rounded up.
    assert [entry["size"] for entry in report["models"].values()] == [[19, 12], [13, 8], [19, 12]]
    assert report["recommended"] == "esr_tr_x2_k3_c1"
    assert report["target"] == {"name": "37x24@0.5", "size": {"width": 37, "height": 24}, "rate": 0.5, "limit_ms": 1800}
    assert "37x24@0.5: esr_tr_x2_k3_c1, 19×12 → 38×24, 31.76 dB: " in result.stdout
    assert "best of ×3: esr_max_x3_k3_c1, 13×8 → 39×24" in result.stdout


def test_nothing_is_fast_enough(tmp_path: Path) -> None:
    # A rate that no computer reaches at this size.
    result = _run(tmp_path, "bicubic_x2", "--recommend", "7680x4320@1000")
    assert result.exit_code == 1, result.output
    assert "7680x4320@1000: no model of known quality holds it here. The fastest, bicubic_x2" in result.stdout
    assert "0.9 ms may be used, with 10% of a frame's time left." in result.stdout


def test_joules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = FakeSysfs(tmp_path).zone("intel-rapl:0", "package-0", 7)
    meter = power.CounterMeter("a counter", [power.Counter(lambda: _add(zone / "energy_uj", 500_000), 10**9)])
    monkeypatch.setattr(power, "find_meter", lambda device: power.Found(meter))
    result = _run(tmp_path, "bicubic_x2", "--size", "16x12", "--json", str(tmp_path / "p.json"))
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "p.json").read_text())["models"]["bicubic_x2"]["joules"] == 0.5
    assert "J/frame by a counter" in result.stdout
    assert "| 0.500 " in result.stdout


def _add(file: Path, microjoules: int) -> int:
    file.write_text(f"{int(file.read_text()) + microjoules}\n")
    return int(file.read_text())


def test_a_model_without_figures_is_said(tmp_path: Path) -> None:
    spec = resolve("esr_max_x2_k3_c1")
    weights = tmp_path / "weights"
    path = save_weights(spec, load_weights(spec), load_card(spec), weights)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"psnr": {"Set5": 30.0}}))
    result = _run(tmp_path, "esr_max_x2_k3_c1", "bicubic_x2", "--size", "16x12", "--weights", str(weights))
    assert result.exit_code == 0, result.output
    assert "not drawn (`esr eval --cards` writes them): esr_max_x2_k3_c1" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recommend", "1080i50"], "'1080i50' is not a size with a rate, as in 1080p60"),
        (["--recommend", "1080p60", "--size", "960x540"], "either --size or --recommend"),
        (["--size", "big"], "'big' is not a size as in 960x540"),
        (["--device", "tpu"], "unknown backend or device 'tpu'"),
        (["esr_tr_x9"], "no model is named"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, options: list[str], message: str) -> None:
    result = _run(tmp_path, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
