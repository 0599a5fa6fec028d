"""`esr-client`, in this process and as one of its own."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

import esr_client
from esr_client import _private_server, cli
from esr_client._private_server import DEFAULT_MODEL, PrivateServer
from esr_server.config import ServerSettings
from tests.client import clips
from tests.client.clips import Clip, make
from tests.support.waiting import eventually

LONG = Clip(pts=range(0, 3000 * 512, 512), size=(96, 64))
SLOW = ("--model", "bicubic_x4", "--preset", "placebo")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes a while."""
    return make(tmp_path_factory.mktemp("long") / "long.mp4", LONG)


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run it as a process of its own, which does not outlive the test."""
    command = [sys.executable, "-m", "esr_client.cli", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def writes(folder: Path) -> bool:
    """Whether an output is being written there."""
    return any(".part" in path.name for path in folder.iterdir())


def test_upscale(server: str, tmp_path: Path) -> None:
    source, out = make(tmp_path / "in.mp4", Clip(languages=("eng",))), tmp_path / "out.mp4"
    code, output = run("upscale", source, out, "--server", server, "--model", "bicubic_x2", "--preset", "ultrafast")
    assert code == 0, output
    assert "12 frames" in output
    assert "1 other stream copied" in output
    assert clips.video(out).times == clips.video(source).times


def test_remarks_are_shown(server: str, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(pts=(0, 1, 2)))
    code, output = run("upscale", source, tmp_path / "out.mkv", "--server", server, "--model", "bicubic_x2")
    assert (code, "note: matroska counts in 1/1000 s" in output) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("in.mp4", "in.mp4"), 1, "in.mp4 is the input itself"),
        (("in.mp4", "old.mp4"), 1, "exists; add --overwrite"),
        (("in.mp4",), 1, "an output is missing: esr-client upscale in.mp4 OUT"),
        (("nothing.mp4", "out.mp4"), 1, "cannot open nothing.mp4: No such file or directory"),
        (("in.mp4", "out.mp4", "--model", "bicubic_x9"), 1, "no model is named 'bicubic_x9'"),
        (
            ("in.mp4", "out.mp4", "--server", "127.0.0.1:1"),
            1,
            "no server answers at 127.0.0.1:1; start one",
        ),
        (("in.mp4", "out.mp4", "--server", "http://nowhere"), 1, "write 'nowhere'"),
        (("in.mp4", "out.mp4", "--encode", "nobody"), 2, "nobody"),
        (("in.mp4", "out.mp4", "--codec", "theora"), 1, "unknown encoder 'theora'"),
    ],
)
def test_errors_are_one_line(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    make(tmp_path / "in.mp4", Clip())
    (tmp_path / "old.mp4").write_text("old")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESR_SERVER", server)
    exit_code, output = run("upscale", *arguments)
    assert exit_code == code, output
    assert message in output
    assert "Traceback" not in output
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "old.mp4"}


def test_models_and_status(server: str) -> None:
    code, output = run("models", "--server", server)
    assert code == 0
    assert "bicubic_x2" in output
    assert run("status", "--server", server) == (0, "server: SERVING esr_api.v1.UpscalerService: SERVING")
    code, output = run("status", "--server", "127.0.0.1:1")
    assert (code, "no server answers" in output) == (1, True)


# ---- the private server --------------------------------------------------------------------------------------------


def test_a_private_server_comes_and_goes() -> None:
    with PrivateServer("bicubic_x2") as private:
        private.wait()
        child = psutil.Process(private.pid)
        socket = Path(private.target.removeprefix("unix:"))
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert not child.net_connections("inet")
        with esr_client.connect(private.target) as client:
            assert client.status().serving
    assert not child.is_running()
    assert not socket.parent.exists()


def test_a_private_server_that_cannot_start() -> None:
    with (
        PrivateServer("nonesuch") as private,
        pytest.raises(esr_client.PrivateServerError, match="no model is named 'nonesuch'"),
    ):
        private.wait()


def test_a_private_server_that_never_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PrivateServer, "_serves", lambda *_: False)
    with (
        PrivateServer("bicubic_x2") as private,
        pytest.raises(esr_client.PrivateServerError, match="did not start within"),
    ):
        private.wait(0.1)


def test_the_server_extra_is_named_when_it_is_missing() -> None:
    words = "Traceback ...\nModuleNotFoundError: No module named 'prometheus_client'\n"
    assert 'pip install "edge-sr[server]"' in _private_server._failure_message(words)
    assert "No module named 'prometheus_client'" in _private_server._failure_message(words)


def test_private_server_that_cannot_start_is_quiet() -> None:
    """Its thread that waits for the end of standard input must not turn the refusal into a fatal error."""
    with PrivateServer("nonesuch") as private, pytest.raises(esr_client.PrivateServerError) as error_info:
        private.wait()
    assert str(error_info.value).startswith("no model is named 'nonesuch'; there are bicubic_x2, ")
    assert "Fatal" not in str(error_info.value)


def test_all_that_a_newcomer_types(tmp_path: Path) -> None:
    source, out = make(tmp_path / "in.mp4", Clip()), tmp_path / "out.mp4"
    with started("upscale", source, out) as child:
        _, output = child.communicate(timeout=60)
    assert child.returncode == 0, output
    assert "12 frames" in output
    assert "esr_stack_x2_c8_l5" in output
    assert clips.video(out).size == (96, 64)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_nothing(long_clip: Path, tmp_path: Path, number: int, code: int) -> None:
    with started("upscale", long_clip, tmp_path / "out.mp4", *SLOW) as child:
        assert eventually(lambda: writes(tmp_path), 60)
        (server,) = psutil.Process(child.pid).children()
        child.send_signal(number)
        _, output = child.communicate(timeout=30)
    assert child.returncode == code
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
    assert not server.is_running()


def test_private_server_ends_with_a_killed_client(long_clip: Path, tmp_path: Path) -> None:
    with started("upscale", long_clip, tmp_path / "out.mp4", *SLOW) as child:
        assert eventually(lambda: writes(tmp_path), 60)
        (server,) = psutil.Process(child.pid).children()
        os.kill(child.pid, signal.SIGKILL)
    assert eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert not (tmp_path / "out.mp4").exists()


def test_private_servers_have_the_default_of_servers() -> None:
    """Client and server are packages of their own, so that the name stands in both."""
    assert ServerSettings().models == (DEFAULT_MODEL,)
