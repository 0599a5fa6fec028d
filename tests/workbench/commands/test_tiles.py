"""`esr tiles`: from pictures of any kind to what `esr train` reads."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from esr_upscale.models import load_card, resolve
from esr_workbench.cli import app
from esr_workbench.degradation.resampling import reduction_matrix, resample
from esr_workbench.evaluation.pictures import read_luma
from tests.support.pictures import synthetic_luma

RUNNER = CliRunner()


def _colour(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    planes = [synthetic_luma(height, width, seed + i) for i in range(3)]
    return (np.clip(np.stack(planes, 2).astype(np.float64) - 16, 0, 219) * (255 / 219)).round().astype(np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a colour PNG of 150×100 and, in a folder of its own, a gray JPEG of 128×64."""
    folder = tmp_path / "photos"
    (folder / "old").mkdir(parents=True)
    Image.fromarray(_colour(100, 150, 1)).save(folder / "sea.png")
    Image.fromarray(_colour(64, 128, 7)[..., 0]).save(folder / "old" / "hut.jpg", quality=95)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("not a picture")
    return folder


def _names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_tiles_are_cut_and_trained_on(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    command = ["tiles", str(photos), str(out), "--size", "48", "--licence", "CC-BY-4.0", "--origin", "the attic"]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: 8 tiles of 2 pictures\n"
    sea = [f"photos__sea_{y}_{x}.png" for y in (0, 48) for x in (0, 48, 96)]
    assert _names(out) == sorted(["CREDITS.csv", "photos__old__hut_0_0.png", "photos__old__hut_0_48.png", *sea])
    with Image.open(out / "photos__sea_48_96.png") as tile:
        assert (tile.mode, tile.size) == ("L", (48, 48))
        expected = np.round(read_luma(photos / "sea.png"))[48:96, 96:144]
        np.testing.assert_array_equal(np.asarray(tile), expected)
    rows = list(csv.DictReader((out / "CREDITS.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["source"], row["file"], row["tiles"]) for row in rows] == [
        ("photos", "hut.jpg", "2"),
        ("photos", "sea.png", "6"),
    ]
    assert list(tmp_path.glob(".*")) == []
    train = ["train", "esr_max_x2_k3_c1", "--tiles", str(out), "--steps", "2", "--restarts", "1"]
    trained = RUNNER.invoke(app, [*train, "--out", str(tmp_path / "w")])
    assert trained.exit_code == 0, trained.output
    card = load_card(resolve("esr_max_x2_k3_c1"), tmp_path / "w")
    assert card.credits == ("photos (the attic), CC-BY-4.0: hut.jpg, sea.png",)


def test_the_most_detailed_tiles(tmp_path: Path) -> None:
    picture = np.full((32, 128), 128, np.uint8)
    picture[:, 32:64:2] = 140
    picture[:, 64:96:2] = 200
    for name in ("a", "b"):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for most, expected in (("1", {"a_0_64", "b_0_64"}), ("9", {"a_0_32", "a_0_64", "b_0_32", "b_0_64"})):
        out = tmp_path / most
        result = RUNNER.invoke(app, ["tiles", *files, str(out), "--size", "32", "--most", most])
        assert result.exit_code == 0, result.output
        assert {path.stem for path in out.glob("*.png")} == expected


def test_pictures_are_reduced(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    assert RUNNER.invoke(app, ["tiles", str(photos), str(out), "--size", "32", "--reduce", "3"]).exit_code == 0
    luma = read_luma(photos / "sea.png")
    height, width = (size // 3 * 3 for size in luma.shape)
    rows, columns = (reduction_matrix(size, 3, "lanczos3") for size in (height, width))
    reduced = resample(luma[:height, :width], rows, columns).clip(0, 255)[3:29, 3:29]
    with Image.open(out / "photos__sea_0_0.png") as tile:  # Pillow drops what lies beyond the edge
        np.testing.assert_allclose(np.asarray(tile)[3:29, 3:29], reduced, atol=0.51)


def test_luma_of_limited_range_stays(tmp_path: Path) -> None:
    """Planes of a video's luma are taken as they are with --range limited, and a note points to it without."""
    for name in ("a", "b"):
        Image.fromarray(synthetic_luma(40, 40, 3)).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    full = RUNNER.invoke(app, ["tiles", *files, str(tmp_path / "full"), "--size", "40"])
    assert "note: no sample lies outside 16 … 235. Pictures of limited range need --range limited" in full.stderr
    command = ["tiles", *files, str(tmp_path / "limited"), "--size", "40", "--range", "limited"]
    limited = RUNNER.invoke(app, command)
    assert (limited.exit_code, limited.stderr) == (0, "")
    with Image.open(tmp_path / "limited" / "a_0_0.png") as tile:
        np.testing.assert_array_equal(np.asarray(tile), synthetic_luma(40, 40, 3))


def test_what_gives_no_tiles_is_said(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"PNG?")
    Image.new("L", (80, 80), 90).save(photos / "wall.png")
    out = tmp_path / "tiles"
    result = RUNNER.invoke(app, ["tiles", str(photos), str(out), "--size", "70"])
    assert result.exit_code == 1
    assert result.stdout == f"{out}: 2 tiles of 1 picture\n"
    assert f"no tiles: {photos / 'old' / 'hut.jpg'} is 128×64, too small for tiles of 70" in result.stderr
    assert f"no tiles: {photos / 'wall.png'} is flat" in result.stderr
    assert f"no tiles: {photos / 'broken.png'} cannot be read as a picture" in result.stderr
    assert "`esr train` needs two" in result.stderr


def test_tiles_are_not_replaced(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    command = ["tiles", str(photos), str(out), "--size"]
    assert RUNNER.invoke(app, [*command, "48"]).exit_code == 0
    before = _names(out)
    refusal = RUNNER.invoke(app, [*command, "64"])
    assert refusal.exit_code == 2
    assert f"{out} exists and is not empty; --overwrite replaces the tiles in it" in refusal.stderr
    assert RUNNER.invoke(app, [*command, "500", "--overwrite"]).exit_code == 2
    assert _names(out) == before
    replaced = RUNNER.invoke(app, [*command, "64", "--overwrite"])
    assert replaced.exit_code == 0, replaced.output
    assert "photos__sea_48_96.png" not in _names(out)
    (out / "holiday.jpg").write_text("x")
    second_refusal = RUNNER.invoke(app, [*command, "64", "--overwrite"])
    assert f"{out} has files that are not tiles, holiday.jpg for one" in second_refusal.stderr
    assert (out / "holiday.jpg").exists()


def test_two_pictures_of_one_name(photos: Path, tmp_path: Path) -> None:
    Image.fromarray(_colour(64, 64, 3)).save(photos / "sea.jpg")
    out = tmp_path / "tiles"
    assert RUNNER.invoke(app, ["tiles", str(photos), str(out), "--size", "64"]).exit_code == 0
    assert {"photos__sea.png_0_0.png", "photos__sea.jpg_0_0.png"} <= set(_names(out))
    (tmp_path / "more").mkdir()
    Image.fromarray(_colour(64, 64, 3)).save(tmp_path / "more" / "hut.jpg")
    files = [str(photos / "old" / "hut.jpg"), str(tmp_path / "more" / "hut.jpg")]
    result = RUNNER.invoke(app, ["tiles", *files, str(tmp_path / "other"), "--size", "64"])
    assert result.exit_code == 2
    assert "would have the same name; rename one of them" in result.stderr


def test_what_cannot_be_cut(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for arguments, message in (
        (["missing.png", "out"], "missing.png does not exist"),
        ([str(tmp_path / "empty"), "out"], "has no pictures (.avif"),
        ([str(photos), str(tmp_path / "file")], "is a file; name a directory"),
        ([str(photos / "sea.png"), str(photos)], "has files that are not tiles"),
        ([str(tmp_path / "empty"), str(tmp_path / "empty")], "where tiles are to be written; name another"),
        ([str(photos), str(tmp_path / "out"), "--licence", "mine!"], "is no licence for a card"),
        ([str(photos), str(tmp_path / "out"), "--size", "500"], "there are no tiles to write"),
    ):
        # --overwrite must not make any of these right.
        result = RUNNER.invoke(app, ["tiles", *arguments, "--overwrite"])
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert result.stdout == ""
    assert not (tmp_path / "out").exists()
    assert (photos / "sea.png").exists()
