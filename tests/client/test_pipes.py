"""Standard input and output, FIFOs, playlists and network outputs, through the command line."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import pyvips

from tests.client import clips
from tests.client.clips import Clip, make
from tests.support.waiting import eventually

QUICK = ("--model", "bicubic_x2", "--preset", "ultrafast")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short file with sound."""
    return make(tmp_path_factory.mktemp("source") / "in.mp4", Clip(languages=("eng",)))


def command(server: str, *arguments: object) -> list[str]:
    """The command line of a process."""
    return [sys.executable, "-m", "esr_client.cli", "upscale", "--server", server, *map(str, arguments)]


def piped(server: str, data: bytes, *arguments: object) -> tuple[int, bytes, str]:
    """Run with `data` as standard input; give the exit code, standard output and standard error."""
    result = subprocess.run(command(server, *arguments), input=data, capture_output=True, timeout=60, check=False)
    return result.returncode, result.stdout, result.stderr.decode()


def as_matroska(source: Path, path: Path) -> bytes:
    """The packets of a file in a container that needs no seeking."""
    with av.open(str(source)) as container, av.open(str(path), "w", format="matroska") as output:
        streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in container.streams}
        for packet in container.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    return path.read_bytes()


def test_from_pipe_to_pipe(server: str, source: Path, tmp_path: Path) -> None:
    data = as_matroska(source, tmp_path / "in.mkv")
    code, video, text = piped(server, data, "-", "-", *QUICK)
    assert code == 0, text
    (tmp_path / "out.mkv").write_bytes(video)
    assert clips.video(tmp_path / "out.mkv").times == clips.video(tmp_path / "in.mkv").times
    assert clips.video(tmp_path / "out.mkv").size == (96, 64)
    assert [row[0] for row in clips.others(tmp_path / "out.mkv")] == ["audio"]
    assert "standard output: 96x64, 12 frames" in text


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
def test_between_two_ffmpegs(server: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames.yuv"
    upscale = " ".join(command(server, "-", "-", *QUICK))
    before = f"ffmpeg -v error -i {source} -c copy -f matroska -"
    after = f"ffmpeg -v error -i - -vsync passthrough -f rawvideo {out}"
    line = f"{before} | {upscale} | {after}"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert out.stat().st_size == 12 * 96 * 64 * 3 // 2


def test_y4m_and_rawvideo(server: str) -> None:
    frames = bytes(range(256)) * (3 * 32 * 32 * 3 // 2 // 256)
    raw = ("--input-format", "rawvideo", "--input-size", "32x32", "--input-pixel-format", "yuv420p")
    code, video, text = piped(server, frames, "-", "-", *QUICK[:2], *raw, "--output-format", "rawvideo")
    assert (code, len(video)) == (0, 3 * 64 * 64 * 3 // 2), text
    code, video, text = piped(
        server, frames, "-", "-", *QUICK[:2], *raw, "--input-rate", "30000/1001", "--output-format", "y4m"
    )
    assert code == 0, text
    header, _, rest = video.partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 W64 H64 F30000:1001")
    assert rest.count(b"FRAME\n") == 3
    code, again, text = piped(server, video, "-", "-", *QUICK[:2], "--input-format", "y4m", "--output-format", "y4m")
    assert again.startswith(b"YUV4MPEG2 W128 H128 F30000:1001"), text


def test_rawvideo_needs_its_size(server: str) -> None:
    code, video, text = piped(server, b"", "-", "-", "--input-format", "rawvideo")
    assert (code, video) == (1, b"")
    assert "give its size and pixel format" in text


def test_fifo_stays_a_fifo(server: str, source: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.ts"
    os.mkfifo(fifo)
    received = tmp_path / "received.ts"
    with received.open("wb") as file, subprocess.Popen(["cat", str(fifo)], stdout=file):
        code, _, text = piped(server, b"", source, fifo, *QUICK)
    assert code == 0, text
    assert fifo.is_fifo()
    assert len(clips.video(received).times) == 12


def test_reader_that_goes_away(server: str, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(pts=range(0, 100 * 512, 512), size=(320, 240)))
    arguments = command(server, source, "-", "--model", "bicubic_x2", "--output-format", "y4m")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(10)
        child.stdout.close()
        text = child.stderr.read().decode()
    assert child.returncode == 1
    assert "cannot write standard output: its reader has closed it" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_silent_pipe_is_interrupted(server: str, number: int) -> None:
    with subprocess.Popen(command(server, "-", "-"), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        # It waits for its input when it has opened a pipe of its own for being woken.
        assert eventually(lambda: _waits_in_poll(child.pid), 30)
        child.send_signal(number)
        _, text = child.communicate(timeout=10)
    assert child.returncode == 128 + number
    assert "Traceback" not in text.decode()


def _waits_in_poll(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task")
    return any("poll" in (task / "wchan").read_text() for task in tasks.iterdir()) and _has_imported(pid)


def _has_imported(pid: int) -> bool:
    return "libavformat" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("number", [signal.SIGHUP])
def test_hangup_leaves_no_file(server: str, tmp_path: Path, number: int) -> None:
    source = make(tmp_path / "in.mp4", Clip(pts=range(0, 3000 * 512, 512), size=(96, 64)))
    (tmp_path / "out").mkdir()
    arguments = command(server, source, tmp_path / "out" / "out.mp4", "--model", "bicubic_x2", "--preset", "placebo")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE) as child:
        assert eventually(lambda: any((tmp_path / "out").iterdir()), 60)
        child.send_signal(number)
        child.communicate(timeout=30)
    assert child.returncode == 128 + number
    assert list((tmp_path / "out").iterdir()) == []


def test_playlist(server: str, source: Path, tmp_path: Path) -> None:
    code, _, text = piped(server, b"", source, tmp_path / "live.m3u8", *QUICK)
    assert code == 0, text
    assert (tmp_path / "live.m3u8").read_text().rstrip().endswith("#EXT-X-ENDLIST")
    assert len(clips.video(tmp_path / "live.m3u8").times) == 12
    code, _, text = piped(server, b"", source, tmp_path / "live.m3u8", *QUICK)
    assert (code, "exists; add --overwrite" in text) == (1, True)


def test_a_playlist_makes_its_folder(server: str, source: Path, tmp_path: Path) -> None:
    code, _, text = piped(server, b"", source, tmp_path / "live" / "index.m3u8", *QUICK)
    assert (code, (tmp_path / "live" / "index.m3u8").exists()) == (0, True), text
    (tmp_path / "text.txt").write_text("no video")
    code, _, _ = piped(server, b"", tmp_path / "text.txt", tmp_path / "none" / "index.m3u8", *QUICK)
    assert (code, (tmp_path / "none").exists()) == (1, False)


def test_transport_stream_over_tcp(server: str, source: Path, tmp_path: Path) -> None:
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def receive() -> None:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(65536):
                    received.extend(data)

        thread = threading.Thread(target=receive)
        thread.start()
        code, _, text = piped(server, b"", source, f"tcp://127.0.0.1:{listener.getsockname()[1]}", *QUICK)
        thread.join(10)
    assert code == 0, text
    (tmp_path / "received.ts").write_bytes(received)
    assert len(clips.video(tmp_path / "received.ts").times) == 12


def test_many_files(server: str, source: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(source, films / name)
    (films / "broken.mp4").write_text("no video")
    code, _, text = piped(server, b"", films, f"{tmp_path}/up/", *QUICK)
    assert code == 1
    assert "2 upscaled, 0 skipped because their output exists, 1 failed" in text
    assert "broken.mp4: cannot open" in text
    assert {path.name for path in (tmp_path / "up").iterdir()} == {"a.mp4", "b.mp4"}
    (films / "broken.mp4").unlink()
    code, _, text = piped(server, b"", films, tmp_path / "up", *QUICK, "--skip-existing")
    assert (code, "0 upscaled, 2 skipped" in text) == (0, True), text


def test_replace_or_skip(server: str, source: Path, tmp_path: Path) -> None:
    code, _, text = piped(server, b"", source, tmp_path / "out.mp4", *QUICK, "--skip-existing", "--overwrite")
    assert (code, "give either --overwrite or --skip-existing" in text) == (1, True), text


def test_what_cannot_be_read_through_a_pipe(server: str, tmp_path: Path) -> None:
    code, _, text = piped(server, b"no video" * 1000, "-", tmp_path / "out.mp4", *QUICK)
    assert (code, "index is at its end cannot come through a pipe" in text) == (1, True), text


def test_numbered_pictures(server: str, source: Path, tmp_path: Path) -> None:
    code, _, text = piped(server, b"", source, tmp_path / "a_%03d.png", "--model", "bicubic_x2")
    assert code == 0, text
    names = [path.name for path in sorted(tmp_path.glob("a_*.png"))]
    assert names == [f"a_{number:03}.png" for number in range(1, 13)]
    code, _, text = piped(server, b"", source, tmp_path / "a_%03d.png", "--model", "bicubic_x2")
    assert (code, "a_001.png exists; add --overwrite" in text) == (1, True)
    code, _, text = piped(server, b"", tmp_path / "a_%03d.png", tmp_path / "b.mkv", *QUICK, "--codec", "hevc")
    assert code == 0, text
    assert clips.video(tmp_path / "b.mkv").size == (192, 128)
    code, _, text = piped(server, b"", tmp_path / "a_%03d.png", tmp_path / "c_%d.jpg", "--model", "bicubic_x2")
    assert code == 0, text
    with av.open(str(tmp_path / "c_12.jpg")) as last, av.open(str(tmp_path / "a_012.png")) as first:
        upscaled, picture = next(last.decode(video=0)), next(first.decode(video=0))
    assert (upscaled.width, upscaled.height) == (192, 128)
    # Colours stay where they were: the means of red, green and blue.
    means = [frame.to_ndarray(format="rgb24").mean(axis=(0, 1)) for frame in (upscaled, picture)]
    assert abs(means[0] - means[1]).max() < 3


def test_numbered_photographs_keep_their_orientation(server: str, tmp_path: Path) -> None:
    """EXIF in a frame's side data, which PyAV cannot list."""
    for number in range(3):
        photo = pyvips.Image.new_from_array(np.full((48, 96, 3), 80, np.uint8)).copy(interpretation="srgb").copy()
        photo.set_type(pyvips.GValue.gint_type, "orientation", 6)
        photo.write_to_file(str(tmp_path / f"photo_{number}.jpg"))
    code, _, text = piped(server, b"", tmp_path / "photo_%d.jpg", tmp_path / "out.mp4", "--input-rate", 5, *QUICK)
    assert code == 0, text
    assert clips.video(tmp_path / "out.mp4").rotation == -90


def test_sixteen_bit_gray_becomes_a_video(server: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 96).reshape(64, 96).astype(np.uint16)
    for number in range(2):
        picture = pyvips.Image.new_from_array(ramp).copy(interpretation="grey16")
        picture.write_to_file(str(tmp_path / f"gray_{number}.png"))
    code, _, text = piped(server, b"", tmp_path / "gray_%d.png", tmp_path / "out.mkv", "--crf", 0, *QUICK)
    assert code == 0, text
    with av.open(str(tmp_path / "out.mkv")) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="gray16le")
    assert clips.video(tmp_path / "out.mkv").pixel_format == "yuv420p10le"
    assert np.abs(pixels[::2, ::2].astype(int) - ramp)[4:-4, 4:-4].mean() < 400


def test_pictures_of_a_video_have_its_colours(server: str, tmp_path: Path) -> None:
    """BT.709 and limited range are told apart from BT.601 and full range."""
    frame = av.VideoFrame(32, 32, "yuv420p")
    for plane, value in zip(frame.planes, (63, 102, 240), strict=True):  # red in BT.709, limited
        plane.update(bytes([value]) * plane.buffer_size)
    source = tmp_path / "red.mkv"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        context = stream.codec_context
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = 1, 1, 1, 1
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    code, _, text = piped(server, b"", source, tmp_path / "red_%d.png", "--model", "bicubic_x2")
    assert code == 0, text
    with av.open(str(tmp_path / "red_1.png")) as container:
        red, green, blue = next(container.decode(video=0)).to_ndarray(format="rgb24").mean(axis=(0, 1))
    assert (red > 250, green < 5, blue < 5) == (True, True, True), (red, green, blue)
