"""Where outputs go, and files that must not be replaced."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from esr_client import InputError, OutputError
from esr_client.files import compare
from esr_client.files._destination import Kind, is_pipe, parse_destination
from esr_client.files._part import PartFile


@pytest.mark.parametrize(
    ("out", "format_name", "kind", "container"),
    [
        ("out.mp4", None, Kind.FILE, "mp4"),
        ("OUT.MKV", None, Kind.FILE, "matroska"),
        ("out.bin", "nut", Kind.FILE, "nut"),
        ("-", None, Kind.PIPE, "matroska"),
        ("-", "y4m", Kind.PIPE, "yuv4mpegpipe"),
        ("/dev/stdout", "mpegts", Kind.PIPE, "mpegts"),
        ("/dev/null", "mpegts", Kind.PIPE, "mpegts"),
        ("rtmp://host/app/key", None, Kind.URL, "flv"),
        ("udp://239.0.0.1:1234", None, Kind.URL, "mpegts"),
        ("rtsp://host/live", None, Kind.URL, "rtsp"),
        ("http://host/live/a.m3u8", None, Kind.URL, "hls"),
        ("live/a.m3u8", None, Kind.URL, "hls"),
    ],
)
def test_kind_and_container(out: str, format_name: str | None, kind: Kind, container: str) -> None:
    destination = parse_destination(out, format_name)
    assert (destination.kind, destination.format_name) == (kind, container)


@pytest.mark.parametrize(
    ("out", "format_name", "message"),
    [
        ("out.xyz", None, "known are .mp4, .*or name it with --output-format"),
        ("srt://host:9000", None, "-c copy -f mpegts 'srt://host:9000'"),
        ("frame.png", None, "is one picture: a video becomes pictures numbered by a pattern, such as frame_%04d.png"),
        ("out", None, "no suffix of a known container"),
        ("gopher://host/a", None, "cannot write to gopher://; an output is a file, - for standard output, or a URL"),
        ("out.mp4", "theora", "unknown output format 'theora'; common ones are y4m, nut"),
        ("-", "hls", "name a file such as out.m3u8"),
    ],
)
def test_outputs_that_cannot_be(out: str, format_name: str | None, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        parse_destination(out, format_name)


def test_names_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "col:on.mp4").write_text("x")
    with pytest.raises(InputError, match=r"write \./col:on.mp4"):
        compare("col:on.mp4", "col:on.mp4", "out.png")


def test_secrets_stay_out_of_the_name() -> None:
    assert parse_destination("rtmp://user:secret@host/app?key=secret").name == "rtmp://host/app"


def test_pipe_in_a_movie_format_is_fragmented() -> None:
    assert "frag_keyframe" in parse_destination("-", "mp4").options["movflags"]


def test_is_pipe(tmp_path: Path) -> None:
    fifo, file = tmp_path / "fifo", tmp_path / "file"
    os.mkfifo(fifo)
    file.write_text("x")
    assert [is_pipe(name) for name in ("-", str(fifo), str(file), "rtsp://host/x", "nothing.mp4")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def _age(path: Path) -> None:
    then = time.time() - 60
    os.utime(path, (then, then))


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "a[1].mp4"
    code = f"""
import os, signal
from pathlib import Path
from esr_client.files._part import PartFile
part = PartFile(Path({os.fspath(target)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (leftover,) = tmp_path.iterdir()
    _age(leftover)
    other = tmp_path / ".b.01234567.part.mp4"
    other.write_text("of another output")
    _age(other)
    part = PartFile(target)
    assert set(tmp_path.iterdir()) == {part.path, other}
    part.close()
    assert set(tmp_path.iterdir()) == {other}


def test_files_of_running_jobs_stay(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    first = PartFile(target)
    _age(first.path)
    second = PartFile(target)
    assert set(tmp_path.iterdir()) == {first.path, second.path}
    with open(first.path, "rb") as again, pytest.raises(BlockingIOError):
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    first.path.write_text("complete")
    first.commit()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert target.read_text() == "complete"
