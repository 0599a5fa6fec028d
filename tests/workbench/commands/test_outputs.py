"""Every command of `esr` that writes: nothing is replaced unless --overwrite says so, and nothing computed before."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esr_upscale.models import load_card, resolve
from esr_workbench.cli import app
from esr_workbench.training.checkpoint import Checkpoint
from esr_workbench.training.one_layer import PatchTrainer
from tests.support.files import write_video
from tests.support.pictures import synthetic_luma, write_tiles
from tests.support.training import stopped_in_step

RUNNER = CliRunner()
MODEL = "esr_max_x2_k3_c1"


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("data") / "tiles")


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["train", MODEL, "--tiles", "missing", "--out", "out"], f"out/{MODEL}.safetensors"),
        (["train", MODEL, "--tiles", "missing", "--out", "out"], f"out/{MODEL}.json"),
        (["import", f"{MODEL}.model", "--name", MODEL, "--out", "out"], f"out/{MODEL}_zeros.safetensors"),
        (["export", MODEL, "--onnx", "out/a.onnx"], "out/a.onnx"),
        (["export", MODEL, "--format", "mpv", "-o", "out/a.glsl"], "out/a.glsl"),
        (["explain", MODEL, "--out", "out"], f"out/{MODEL}_winners.png"),
        (["explain", "esr_tr_x2", "--out", "out"], "out/esr_tr_x2_k5_c2_attention.png"),
        (["explain", "bicubic_x2", "--out", "out"], "out/bicubic_x2_forms.png"),
        (["compile", "--model", MODEL, "--out", "out"], "out/kernels.json"),
        (["pareto", MODEL, "--out", "out"], "out/pareto.html"),
        (["pareto", MODEL, "--out", "other", "--json", "out/a.json"], "out/a.json"),
        (["eval", MODEL, "--data", "missing", "--json", "out/a.json"], "out/a.json"),
        (["eval", "--video", "a.mkv", "b.mkv", "--json", "out/a.json"], "out/a.json"),
    ],
)
def test_what_exists_is_not_replaced(
    command: list[str], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(file)
    path.parent.mkdir()
    path.write_text("of an earlier run")
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 2, result.output
    # The tiles, pictures and videos of these commands are missing: the file is looked at before anything else.
    assert result.stderr == f"error: {file} exists; --overwrite replaces what exists\n"
    assert path.read_text() == "of an earlier run"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / file]


def test_overwrite_replaces(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("a.mkv"), [synthetic_luma(24, 32)])
    figures = Path("figures.json")
    for command, file in (
        (["train", MODEL, "--tiles", str(tiles), "--steps", "2", "--restarts", "1"], f"weights/{MODEL}.safetensors"),
        (["explain", "bicubic_x2"], "explain/bicubic_x2_forms.png"),
        (["eval", "bicubic_x2", "--data", str(tiles), "--json", str(figures)], str(figures)),
        (["eval", "--video", "a.mkv", "a.mkv", "--json", str(figures)], str(figures)),
        (["pareto", "bicubic_x2", "--size", "16x12", "--rounds", "1"], "pareto/pareto.html"),
    ):
        path = Path(file)
        path.parent.mkdir(exist_ok=True)
        path.write_text("of an earlier run")
        result = RUNNER.invoke(app, [*command, "--overwrite"])
        assert result.exit_code == 0, result.output
        assert path.read_bytes() != b"of an earlier run"
    assert not list(tmp_path.rglob(".*"))


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = RUNNER.invoke(app, ["train", MODEL, "--tiles", "missing", "--out", str(tmp_path / "file"), "--overwrite"])
    assert result.exit_code == 2
    assert f"cannot be written: {tmp_path / 'file'} is a file, not a directory" in result.stderr


def test_a_directory_where_a_file_should_be(tmp_path: Path) -> None:
    command = ["eval", MODEL, "--data", "missing", "--json", str(tmp_path), "--overwrite"]
    assert f"error: {tmp_path} is a directory; a file is to be written there" in RUNNER.invoke(app, command).stderr


def test_json_to_a_device(tiles: Path) -> None:
    result = RUNNER.invoke(app, ["eval", "bicubic_x2", "--data", str(tiles), "--json", "/dev/null"])
    assert result.exit_code == 0, result.output
    assert not Path("/dev/null").is_file()


def test_a_stopped_run_goes_on_without_overwrite(tiles: Path, tmp_path: Path) -> None:
    """The weights of an earlier run are there, a run with --overwrite is stopped, and the next one finishes it."""
    spec = resolve(MODEL)
    command = ["train", MODEL, "--tiles", str(tiles), "--steps", "6", "--restarts", "1", "--out", str(tmp_path)]
    assert RUNNER.invoke(app, command).exit_code == 0
    assert f"{spec.canonical_id}.safetensors exists" in RUNNER.invoke(app, command).stderr
    before = (tmp_path / f"{MODEL}.safetensors").read_bytes()
    with stopped_in_step(PatchTrainer, 3):
        stopped = RUNNER.invoke(app, [*command, "--overwrite", "--seed", "2"])
    assert stopped.exit_code == 128 + signal.SIGTERM, stopped.output
    assert (tmp_path / f"{MODEL}.safetensors").read_bytes() == before
    finished = RUNNER.invoke(app, [*command, "--seed", "2"])
    assert finished.exit_code == 0, finished.output
    assert load_card(spec, tmp_path).seed == 2
    assert not Checkpoint(spec, tmp_path).exists()
    assert f"{spec.canonical_id}.safetensors exists" in RUNNER.invoke(app, command).stderr


def test_a_file_of_models_takes_no_overwrite(tiles: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.toml"
    pool.write_text(f'model = "{MODEL}"\n')
    result = RUNNER.invoke(app, ["train", str(pool), "--tiles", str(tiles), "--out", str(tmp_path), "--overwrite"])
    assert result.exit_code == 2
    assert "leaves out those that have weights" in result.stderr


def test_cards_keep_their_other_figures(tiles: Path, tmp_path: Path) -> None:
    other = write_tiles(tmp_path / "other", 1)
    for data in (tiles, other):
        command = ["eval", "bicubic_x2", "--data", str(data), "--cards", str(tmp_path / "cards")]
        assert RUNNER.invoke(app, command).exit_code == 0
    assert load_card(resolve("bicubic_x2"), tmp_path / "cards").psnr.keys() == {"tiles", "other"}
