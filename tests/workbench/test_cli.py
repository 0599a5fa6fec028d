"""`esr`, through its commands."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from esr_upscale.models import list_models, load_card, load_weights, resolve
from esr_workbench.cli import app
from tests.support.files import write_video
from tests.support.pictures import random_weights, synthetic_luma, write_tiles

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("data") / "tiles")


def test_models() -> None:
    result = RUNNER.invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    for spec in list_models():
        assert f"| {spec.canonical_id} " in result.stdout


def test_version() -> None:
    result = RUNNER.invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"esr {version('edge-sr')}\n")


@pytest.mark.parametrize("command", ["", *(info.name or "" for info in app.registered_commands)])
def test_help(command: str) -> None:
    result = RUNNER.invoke(app, [*command.split(), "-h"])
    assert result.exit_code == 0
    assert f"Usage: root {command}".strip() in result.stdout


def test_models_needs_no_torch() -> None:
    run = "import sys; from esr_workbench.cli import app; app(['models'], standalone_mode=False)"
    code = f"{run}; print('torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "False"


def test_eval(tiles: Path, tmp_path: Path) -> None:
    report, cards = tmp_path / "scores.json", tmp_path / "cards"
    command = ["eval", "bicubic_x2", "eSR-TR_s2_K5_C2", "--data", str(tiles), "--json", str(report)]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["model", "tiles", "mean"]
    scores = json.loads(report.read_text())
    assert list(scores) == ["bicubic_x2", "esr_tr_x2_k5_c2"]
    quality = scores["bicubic_x2"]["tiles"]
    assert f"| {quality['psnr']:.2f} / {quality['ssim']:.4f} |" in lines[2]
    result = RUNNER.invoke(app, ["eval", "bicubic_x2", "--data", str(tiles), "--cards", str(cards)])
    assert result.exit_code == 0, result.output
    assert load_card(resolve("bicubic_x2"), cards).psnr == {"tiles": quality["psnr"]}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_eval_published(tiles: Path, tmp_path: Path) -> None:
    published, report = tmp_path / "published.csv", tmp_path / "scores.json"
    published.write_text("model,psnr_TILES,ssim_tiles\nBicubic_s2 (theirs),30.0,0.9\n")
    command = ["eval", "bicubic_x2", "esr_tr_x2", "--data", str(tiles), "--json", str(report)]
    result = RUNNER.invoke(app, [*command, "--published", str(published)])
    assert result.exit_code == 0, result.output
    head, _, bicubic, esr_tr = map(_cells, result.stdout.splitlines())
    assert head == ["model", "tiles", "mean", "published: tiles", "mean", "gain"]
    gain = json.loads(report.read_text())["bicubic_x2"]["tiles"]["psnr"] - 30
    assert bicubic[3:] == ["30.00 / 0.9000", "30.00", f"{gain:+.2f}"]
    assert esr_tr[3:] == ["–", "–", "–"]
    published.write_text("model,psnr_Set5\nbicubic_x2,30.0\n")
    result = RUNNER.invoke(app, [*command, "--published", str(published), "--overwrite"])
    assert result.exit_code == 2
    assert "published.csv has no figures of tiles; it has of: set5" in result.stderr


def test_eval_published_names_the_missing_set(tiles: Path, tmp_path: Path) -> None:
    published, other = tmp_path / "published.csv", write_tiles(tmp_path / "other", 1)
    published.write_text("model,psnr_tiles\nbicubic_x2,30.0\n")
    command = ["eval", "bicubic_x2", "--data", str(tiles), "--data", str(other), "--published", str(published)]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "note: published.csv has no figures of other" in result.stderr
    assert _cells(result.stdout.splitlines()[2])[4:7] == ["30.00", "–", "30.00"]


def test_eval_video(tmp_path: Path) -> None:
    luma, report = synthetic_luma(24, 32), tmp_path / "video.json"
    a = write_video(tmp_path / "a.mkv", [luma, luma])
    b = write_video(tmp_path / "b.mkv", [luma, luma + 2])
    result = RUNNER.invoke(app, ["eval", "--video", str(a), str(b), "--json", str(report)])
    assert result.exit_code == 0, result.output
    head, _, row = map(_cells, result.stdout.splitlines())
    assert head == ["video", "frames", "PSNR", "PSNR of mean MSE", "worst frame", "SSIM"]
    assert row[:5] == ["b.mkv", "2", "inf", "45.12", "42.11 (frame 1)"]
    figures = json.loads(report.read_text())
    assert (figures["frames"], figures["psnr"], figures["worst_frame"]) == (2, None, 1)
    assert figures["worst_psnr"] == pytest.approx(42.11, abs=0.01)


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
    assert card.licence == "LicenseRef-unknown"
    assert "5 steps of 8192" in card.recipe
    models = RUNNER.invoke(app, ["models", "--weights", str(out)])
    assert "esr_max_x2_k3_c2" in models.stdout


def _checkpoint(directory: Path, name: str) -> Path:
    weights = random_weights(resolve(name))
    path = directory / f"{name}.model"
    torch.save({key: torch.from_numpy(values) for key, values in weights.items()}, path)
    return path


def test_import(tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    result = RUNNER.invoke(app, ["import", str(_checkpoint(tmp_path, "eSR-CNN_s3_C2_D7_S3")), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out / 'esr_cnn_x3_c2_d7_s3_zeros.safetensors'}: 1346 parameters\n"
    spec = resolve("esr_cnn_x3_zeros")
    assert load_weights(spec, out).keys() == spec.tensor_shapes.keys()
    assert load_card(spec, out).licence == "LicenseRef-unknown"
    argv = ["eval", "eSR-CNN_s3_C2_D7_S3_zeros", "--weights", str(out), "--data", str(tiles), "--cards", str(out)]
    assert RUNNER.invoke(app, argv).exit_code == 0
    assert load_card(spec, out).psnr.keys() == {"tiles"}


def test_import_with_options(tmp_path: Path) -> None:
    file = _checkpoint(tmp_path, "eSR-TR_s2_K3_C1").rename(tmp_path / "best.pt")
    options = ["--name", "eSR-TR_s2_K3_C1", "--padding", "edge", "--licence", "GPL-3.0-only", "--out", str(tmp_path)]
    result = RUNNER.invoke(app, ["import", str(file), *options])
    assert result.exit_code == 0, result.output
    card = load_card(resolve("esr_tr_x2_k3_c1"), tmp_path)
    assert (card.padding, card.licence) == ("edge", "GPL-3.0-only")
    assert "best.pt" in card.recipe


def test_export(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    result = RUNNER.invoke(app, ["export", "eSR-TR_s2_K5_C2", "--onnx", str(path), "--opset", "20"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}\n"
    model = onnx.load(path)
    assert [o.version for o in model.opset_import] == [20]
    facts = {p.key: p.value for p in model.metadata_props}
    assert (facts["model"], facts["licence"]) == ("esr_tr_x2_k5_c2", "Apache-2.0")


def test_export_of_own_weights(tmp_path: Path) -> None:
    RUNNER.invoke(app, ["import", str(_checkpoint(tmp_path, "eSR-MAX_s2_K3_C3")), "--out", str(tmp_path)])
    path = tmp_path / "model.onnx"
    command = ["export", "esr_max_x2_k3_c3_zeros", "--weights", str(tmp_path), "--onnx", str(path)]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.output
    weight = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    expected = random_weights(resolve("esr_max_x2_k3_c3"))["filter.weight"]
    np.testing.assert_array_equal(weight["filter.weight"], expected)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["eval", "esr_tr_x22", "--data", "."], "did you mean"),
        (["eval", "esr_tr_x2_k7_c7", "--data", "."], "no model is named"),
        (["eval", "bicubic_x2"], "nothing to judge on"),
        (["eval"], "nothing to judge; name models"),
        (["eval", "bicubic_x2", "--video", "a.mp4", "b.mp4"], "it takes no models"),
        (["eval", "--video", "a.mp4", "b.mp4"], "a.mp4 cannot be opened as a video"),
        (["eval", "bicubic_x2", "--data", "missing"], "is not a directory"),
        (["train", "bicubic_x2", "--tiles", "missing"], "bicubic cannot be trained"),
        (["train", "esr_tr_x2", "--tiles", "missing"], "is not a directory"),
        (["train", "--tiles", "missing"], "either a model or --pool"),
        (["train", "--tiles", "missing", "--pool", "missing.toml"], "cannot be read as TOML"),
        (["models", "--weights", "missing"], "is not a directory"),
        (["import", "eSR-TR_s2_K5_C2.model"], "cannot be read: No such file"),
        (["import", "missing.model"], "not named after a model"),
        (["import", "missing.model", "--name", "esr_tr_x22"], "did you mean"),
        (["import", "Bicubic_s2.model"], "fixed filter"),
        (["export", "esr_tr_x2"], "--onnx FILE.onnx"),
        (["export", "esr_tr_x22", "--onnx", "missing.onnx"], "did you mean"),
        (["export", "esr_tr_x2", "--onnx", "missing.onnx", "--opset", "16"], "opset 16 is too old"),
    ],
)
def test_mistakes_are_explained(command: list[str], message: str) -> None:
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 2
    assert "error: " in result.stderr
    assert message in result.stderr
    assert result.stdout == ""
