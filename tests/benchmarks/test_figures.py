"""The pictures of the docs: each from one command, with commit and machine on it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.figures import COMMENT, FIGURES, IMAGES, describe_run, stamp

DOCS = IMAGES.parent


def test_every_picture_of_the_docs_has_a_command() -> None:
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    pictures = {name for page in pages for name in re.findall(r"\]\([\w/.-]*images/([\w.-]+)\)", page.read_text())}
    assert pictures == {path.name for path in IMAGES.iterdir()} == FIGURES.keys()


def test_a_stamp_is_below_the_picture_and_in_the_file(tmp_path: Path) -> None:
    picture = np.full((40, 400, 3), 200, np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    stamp(tmp_path / "a.png", "commit 1234567", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info[COMMENT] == "commit 1234567"
        stamped = np.asarray(image)
    np.testing.assert_array_equal(stamped[:40], picture)
    assert stamped[40:].min() < 128 < stamped[40:].max()


def test_the_command(tmp_path: Path) -> None:
    """Draw what takes no timing, and a chart of two models on small frames."""
    names = [name for name in FIGURES if name != "overload.png"]
    command = [sys.executable, "-m", "benchmarks.figures", *names, "--quick", "--out", str(tmp_path)]
    result = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [str(tmp_path / name) for name in names]
    for name in names:
        with Image.open(tmp_path / name) as image:
            assert image.info[COMMENT] == describe_run() + ", quick: not a measurement"


def test_quick_does_not_touch_the_docs() -> None:
    command = [sys.executable, "-m", "benchmarks.figures", "--quick"]
    result = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--quick measures nothing" in result.stderr
