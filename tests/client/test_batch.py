"""Many inputs become tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from esr_client import InputError, OutputError
from esr_client.files import Media, Task, plan_tasks


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with videos, pictures and other things; it is the working directory's `films`."""
    for name in ("b.mp4", "a.wmv", "c.png", "notes.txt", ".hidden.mp4", "deep/d.MOV"):
        path = tmp_path / "films" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "films"


def outputs(*sources: str, out: str, recursive: bool = False) -> list[str]:
    """The outputs of a plan."""
    return [task.out for task in plan_tasks(sources, out, recursive=recursive)]


def test_one_file_is_one_task() -> None:
    assert plan_tasks(["in.mp4"], "out.mkv") == (Task("in.mp4", "out.mkv", Media.VIDEO),)
    assert plan_tasks(["in.png"], "out.jpg") == (Task("in.png", "out.jpg", Media.PICTURE),)
    assert plan_tasks(["in_%03d.png"], "out.mp4") == (Task("in_%03d.png", "out.mp4", Media.VIDEO),)
    assert plan_tasks(["-"], "-") == (Task("-", "-", Media.VIDEO),)


@pytest.mark.usefixtures("films")
def test_folder() -> None:
    assert outputs("films", out="up") == ["up/a.mkv", "up/b.mp4", "up/c.png"]
    assert outputs("films", out="up", recursive=True) == ["up/a.mkv", "up/b.mp4", "up/c.png", "up/deep/d.MOV"]


@pytest.mark.usefixtures("films")
def test_patterns_and_files() -> None:
    assert outputs("films/*.mp4", "films/a.wmv", out="up/") == ["up/b.mp4", "up/a.mkv"]
    assert outputs("films/b.mp4", out="films/deep") == ["films/deep/b.mp4"]


def test_earlier_outputs_are_not_inputs(films: Path) -> None:
    (films / "up").mkdir()
    (films / "up" / "b.mp4").write_text("x")
    assert outputs("films", out="films/up", recursive=True) == [
        "films/up/a.mkv",
        "films/up/b.mp4",
        "films/up/c.png",
        "films/up/deep/d.MOV",
    ]


@pytest.mark.usefixtures("films")
@pytest.mark.parametrize(
    ("sources", "out", "error", "message"),
    [
        (["films/b.mp4", "films/a.wmv"], "out.mp4", OutputError, "several inputs need a folder as output"),
        (["films/b.mp4", "films/a.wmv"], "-", OutputError, "several inputs need a folder"),
        (["films/b.mp4", "films/a.wmv"], "films/notes.txt", OutputError, "several inputs need a folder"),
        (["films/*.webm"], "up", InputError, "no file matches"),
        (["films/deep/none"], "up/", None, ""),
        (["films/b.mp4", "films/deep/../b.mp4"], "up", OutputError, "would both become up/b.mp4"),
    ],
)
def test_plans_that_cannot_be(sources: list[str], out: str, error: type[Exception] | None, message: str) -> None:
    if error is None:
        assert plan_tasks(sources, out)[0].source == sources[0]  # that it is missing is found when it is opened
        return
    with pytest.raises(error, match=message):
        plan_tasks(sources, out)


def test_folder_without_video(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no video or picture in .*add --recursive"):
        plan_tasks([str(tmp_path)], str(tmp_path / "up"))
