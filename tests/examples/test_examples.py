"""The examples run as they stand, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.client import clips
from tests.client.clips import Clip, make

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video."""
    clip = Clip(size=(160, 120), pts=range(10), time_base=Fraction(1, 25))
    return make(tmp_path_factory.mktemp("source") / "in.mp4", clip)


def run(name: str, *arguments: object) -> str:
    """Run an example and give what it prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_files(source: Path, tmp_path: Path) -> None:
    assert "320x240, 10 frames" in run("files.py", source, tmp_path / "out.mp4")
    assert clips.video(tmp_path / "out.mp4").size == (320, 240)


def test_pyav_loop(source: Path, tmp_path: Path) -> None:
    run("pyav_loop.py", source, tmp_path / "out.mp4")
    assert clips.video(tmp_path / "out.mp4").times == clips.video(source).times


def test_opencv(source: Path, tmp_path: Path) -> None:
    assert "10 frames" in run("opencv.py", source, tmp_path / "out.png")
    assert (tmp_path / "out.png").exists()


def test_webcam_with_a_file_in_its_place(source: Path) -> None:
    numbers = [int(word) for word in run("webcam.py", source, "--no-window").split() if word.isdecimal()]
    assert numbers[0] >= 1
    assert sum(numbers) == 10


def test_webcam_says_that_there_is_no_camera(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "webcam.py"), str(tmp_path / "none.mp4"), "--no-window"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 1
    assert "no camera or video" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["files.py", "pyav_loop.py", "opencv.py", "fan_out.py"])
def test_without_arguments_they_say_what_they_take(name: str) -> None:
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert f"`python examples/{name}" in result.stderr
    assert "Traceback" not in result.stderr


def test_fan_out(source: Path) -> None:
    assert run("fan_out.py", source, source).count("10 frames") == 2


def test_notebook(tmp_path: Path) -> None:
    """The cells run in order; Jupyter itself is not needed for that."""
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    script = tmp_path / "notebook.py"
    script.write_text("\n".join(cells) + "\nprint(upscaled.shape)\n")
    assert "(180, 320, 3)" in run(str(script))


def test_every_example_is_listed() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in EXAMPLES.iterdir() if path.name != "README.md" and path.name not in text] == []
