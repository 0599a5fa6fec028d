"""Memory of a further stream, start time, and a whole file against ffmpeg."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil

import esr_client
from benchmarks.camera import Camera, join_all
from benchmarks.clip import find_clip
from benchmarks.serving import Serving, free_ports

_STREAMS = 6
_X264 = ("libx264", "veryfast", "20")


def need_ffmpeg() -> None:
    """Raise FileNotFoundError where there is no ffmpeg, before minutes are spent on the other figures."""
    if shutil.which("ffmpeg") is None:
        raise FileNotFoundError("ffmpeg is not installed; it is what esr-client is compared with")


def memory_per_stream(served: Serving, frames: Sequence[esr_client.Frame], seconds: float) -> dict[str, float]:
    """Megabytes of the server's resident memory, shared memory included, that each further stream takes."""
    server = psutil.Process(served.pid)
    config = {"model": "esr_tr_x2", "target_fps": 5}
    first = Camera(served.target, frames, 5, seconds=2 * seconds, **config).start()
    time.sleep(seconds / 2)
    before = server.memory_info().rss
    others = [Camera(served.target, frames, 5, seconds=seconds, **config).start() for _ in range(_STREAMS)]
    time.sleep(seconds / 2)
    growth_bytes = server.memory_info().rss - before
    for camera in (*others, first):
        camera.stop()
    join_all([*others, first])
    return {"memory.per_stream.mb": growth_bytes / _STREAMS / 1e6}


def start_to_ready(rounds: int) -> dict[str, float]:
    """Seconds from starting `esr-serve --model esr_tr_x2` until it says that it is ready."""
    return {"start.s": statistics.median(_start_once() for _ in range(rounds))}


def _start_once() -> float:
    target, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    command = (sys.executable, "-m", "esr_server", "--model", "esr_tr_x2", "--listen", target, "--http", http)
    started_s = time.perf_counter()
    process = subprocess.Popen((*command, "--log-level", "WARNING"))
    try:
        while not _is_ready(http):
            assert process.poll() is None, "the server ended"
            time.sleep(0.05)  # asking more often takes time from the start that is measured
        return time.perf_counter() - started_s
    finally:
        process.terminate()
        process.wait(60)


def _is_ready(http: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{http}/readyz", timeout=1) as page:
            return bool(page.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def file_against_ffmpeg(served: Serving, rounds: int) -> dict[str, float]:
    """`esr-client upscale` through a running server, over ffmpeg's scale=bicubic with the same encoder settings."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "540p.mp4"
        _make_source(source)
        pairs = [(_timed(_ours(served, source, folder)), _timed(_ffmpegs(source, folder))) for _ in range(rounds)]
    return {
        "file.ratio": statistics.median(ours / theirs for ours, theirs in pairs),
        "file.s": statistics.median(ours for ours, _ in pairs),
    }


def _make_source(source: Path) -> None:
    """Four rounds of the clip at 960×540: long enough for starting Python not to be what is measured."""
    loop = ("ffmpeg", "-v", "error", "-stream_loop", "3", "-i", str(find_clip()), "-an")
    subprocess.run((*loop, "-vf", "scale=960:540", "-c:v", "libx264", "-crf", "18", str(source)), check=True)


def _ours(served: Serving, source: Path, folder: str) -> tuple[str, ...]:
    codec, preset, crf = _X264
    client = (sys.executable, "-m", "esr_client.cli", "upscale", str(source), f"{folder}/ours.mp4")
    encoder = ("--codec", codec, "--preset", preset, "--crf", crf)
    return (*client, "--server", served.target, "--model", "esr_tr_x2", *encoder, "--overwrite")


def _ffmpegs(source: Path, folder: str) -> tuple[str, ...]:
    codec, preset, crf = _X264
    scale = ("-vf", "scale=1920:1080:flags=bicubic", "-c:v", codec, "-preset", preset, "-crf", crf)
    return ("ffmpeg", "-v", "error", "-y", "-i", str(source), *scale, f"{folder}/theirs.mp4")


def _timed(command: tuple[str, ...]) -> float:
    started_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started_s
