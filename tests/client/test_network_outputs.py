"""Live outputs into real receivers: the ffmpeg program listens on loopback and writes down what arrives."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from esr_client.files._shown import has_protocol
from tests.client import clips
from tests.client.clips import Clip, make
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")

FRAMES = 30

RECEIVERS = {
    "rtmp": ("tcp", "rtmp://127.0.0.1:{port}/live/key", ("-listen", "1", "-i", "rtmp://127.0.0.1:{port}/live/key")),
    "rtsp": ("tcp", "rtsp://127.0.0.1:{port}/live", ("-rtsp_flags", "listen", "-i", "rtsp://127.0.0.1:{port}/live")),
    "udp": ("udp", "udp://127.0.0.1:{port}", ("-i", "udp://127.0.0.1:{port}?timeout=4000000")),
}
"""The socket on which it listens, the output of `esr-client`, and the receiver's input."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a second."""
    clip = Clip(pts=range(0, FRAMES * 512, 512), languages=("eng",))
    return make(tmp_path_factory.mktemp("source") / "in.mp4", clip)


def free_port(protocol: str) -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket(type=socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_bound(protocol: str, port: int) -> bool:
    """Whether a socket of this machine has the port, as Linux says."""
    lines = Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in lines)


@pytest.mark.parametrize("scheme", list(RECEIVERS))
def test_every_frame_arrives(server: str, source: Path, tmp_path: Path, scheme: str) -> None:
    protocol, output, reading = RECEIVERS[scheme]
    port, received = free_port(protocol), tmp_path / "received.mkv"
    listening = ["ffmpeg", "-v", "error", *(word.format(port=port) for word in reading), "-c", "copy", str(received)]
    with subprocess.Popen(listening, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as receiver:
        try:
            eventually(lambda: is_bound(protocol, port))
            command = [sys.executable, "-m", "esr_client.cli", "upscale", str(source), output.format(port=port)]
            command += ["--server", server, "--model", "bicubic_x2", "--preset", "ultrafast"]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert result.returncode == 0, result.stderr
            receiver.wait(30)
        finally:
            receiver.kill()
    check(received, source)


def check(received: Path, source: Path) -> None:
    """All frames are there, at their distances. FFmpeg as a receiver of RTSP repeats the first frame's time."""
    new, old = ([float(time or 0) for time in clips.video(path).times] for path in (received, source))
    assert len(new) == FRAMES
    assert np.diff(new)[1:] == pytest.approx(np.diff(old)[1:], abs=0.0021)


@pytest.mark.skipif(has_protocol("srt"), reason="this FFmpeg sends srt itself")
def test_srt_by_the_ffmpeg_program(server: str, source: Path, tmp_path: Path) -> None:
    """The command that the refusal of srt names. By `transtype=file` no packet is lost when the sender closes."""
    port, received = free_port("udp"), tmp_path / "received.mkv"
    listening = ["ffmpeg", "-v", "error"]
    listening += ["-i", f"srt://127.0.0.1:{port}?mode=listener&transtype=file", "-c", "copy", str(received)]
    with subprocess.Popen(listening, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as receiver:
        try:
            eventually(lambda: is_bound("udp", port))
            ours = f"{sys.executable} -m esr_client.cli upscale {source} - --output-format mpegts --server {server}"
            theirs = f"ffmpeg -v error -re -i - -c copy -f mpegts 'srt://127.0.0.1:{port}?transtype=file'"
            line = f"{ours} --model bicubic_x2 --preset ultrafast | {theirs}"
            subprocess.run(line, shell=True, check=True, timeout=60)
            receiver.wait(30)
        finally:
            receiver.kill()
    check(received, source)
