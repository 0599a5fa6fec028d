"""Parts of files: where they begin and end, and what audio goes along."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

import esr_client
from esr_client.cli._values import parse_ratio, parse_size, parse_time
from esr_client.files import Encode, FileJob, FileSettings, InputSettings, WantedSize, upscale_file
from tests.client import clips
from tests.client.clips import Clip, make
from tests.support.server import running_on_thread, target

STEP = 512
SECOND = 25 * STEP


@pytest.fixture(scope="module")
def client() -> Iterator[esr_client.Client]:
    """A client of a real server."""
    with running_on_thread() as server, esr_client.connect(target(server)) as client:
        yield client


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with B-frames, a key frame every half second, and sound."""
    clip = Clip(pts=range(0, 2 * SECOND, STEP), options={"g": "12"}, languages=("eng",), chapters=True)
    return make(tmp_path_factory.mktemp("source") / "in.mp4", clip)


def settings(start: str, duration: str | None, **changes: object) -> FileSettings:
    """Settings for a part of a file, with a quick encoder."""
    part = InputSettings(start_s=parse_time(start), duration_s=None if duration is None else parse_time(duration))
    values = {"model": "bicubic_x2", "preset": "ultrafast", "input": part} | changes
    return FileSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "duration", "frames"), [("0", "0.4", 10), ("0.6", "0.4", 10), ("1.2", None, 20), ("0", "0:00:30", 50)]
)
def test_part_of_a_file(
    client: esr_client.Client, source: Path, tmp_path: Path, start: str, duration: str | None, frames: int
) -> None:
    report = upscale_file(client, source, tmp_path / "out.mp4", settings(start, duration))
    assert report.frames == frames
    assert clips.video(tmp_path / "out.mp4").times == tuple(Fraction(i, 25) for i in range(frames))


def test_sound_and_chapters_move_along(client: esr_client.Client, source: Path, tmp_path: Path) -> None:
    upscale_file(client, source, tmp_path / "out.mp4", settings("0.2", "0.2"))
    (audio,) = (row for row in clips.others(tmp_path / "out.mp4") if row[0] == "audio")
    times = [time for time in audio[4] if time is not None]
    assert len(times) == pytest.approx(0.2 * clips.AUDIO_RATE / 1024, abs=1.5)
    assert 0 <= min(times) < Fraction(1, 40)
    assert clips.chapters(tmp_path / "out.mp4")[0][2] == "Dusk"


def test_packets_of_a_server_begin_at_a_key_frame(client: esr_client.Client, source: Path, tmp_path: Path) -> None:
    upscale_file(client, source, tmp_path / "out.mp4", settings("0.6", "0.4", encode=Encode.SERVER))
    times = clips.video(tmp_path / "out.mp4").times
    assert times[0] == 0
    assert len(times) >= 10 + 3  # from 0.48 s on


def test_nothing_in_the_part(client: esr_client.Client, source: Path, tmp_path: Path) -> None:
    with pytest.raises(esr_client.InputError, match="is 2 s long; --start 30 is after its end"):
        upscale_file(client, source, tmp_path / "out.mp4", settings("30", None))
    assert list(tmp_path.iterdir()) == []
    assert source not in {path.resolve() for path in Path("/proc/self/fd").iterdir()}, "the input is still open"


def test_a_part_of_what_has_no_times(client: esr_client.Client, source: Path, tmp_path: Path) -> None:
    with av.open(str(source)) as container, av.open(str(tmp_path / "in.264"), "w") as raw:
        video = raw.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                packet.stream = video
                raw.mux(packet)
    with pytest.raises(esr_client.InputError, match="packets have no times, so a part cannot be taken"):
        upscale_file(client, tmp_path / "in.264", tmp_path / "out.mp4", settings("0", "0.2"))


def test_an_even_size_is_said(client: esr_client.Client, source: Path, tmp_path: Path) -> None:
    changes = {"model": None, "size": WantedSize(height=49)}
    report = upscale_file(client, source, tmp_path / "out.mp4", settings("0", "0.1", **changes))
    assert any("takes even sizes: the output is" in notice for notice in report.notices)
    odd = settings("0", "0.1", **changes, codec="vp9", preset="8")
    report = upscale_file(client, source, tmp_path / "out.webm", odd)
    assert report.size[1] == 49


def test_an_even_size_of_rgb_is_known_at_once(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", Clip(codec="ffv1", pixel_format="bgr0", time_base=Fraction(1, 1000)))
    notices: list[str] = []
    FileJob(source, tmp_path / "out.mp4", FileSettings(size=WantedSize(height=90)), notice=notices.append).close()
    assert not notices
    FileJob(source, tmp_path / "out.mp4", FileSettings(size=WantedSize(height=91)), notice=notices.append).close()
    assert "libx264 takes even sizes" in notices[0]


def test_wanted_height(client: esr_client.Client, source: Path, tmp_path: Path) -> None:
    changes = {"model": None, "size": WantedSize(height=48)}
    report = upscale_file(client, source, tmp_path / "out.mp4", settings("0", "0.2", **changes))
    assert (report.negotiated.scale, report.size) == (2, (72, 48))
    assert clips.video(tmp_path / "out.mp4").size == (72, 48)
    with pytest.raises(esr_client.InputError, match="choose a model of x3"):
        upscale_file(client, source, tmp_path / "b.mp4", settings("0", "0.2", size=WantedSize(height=70)))
    with pytest.raises(esr_client.OutputError, match="leave out --encode server"):
        upscale_file(
            client, source, tmp_path / "b.mp4", settings("0", None, size=WantedSize(height=48), encode=Encode.SERVER)
        )


def test_audio_is_encoded_anew_where_it_must(client: esr_client.Client, source: Path, tmp_path: Path) -> None:
    report = upscale_file(client, source, tmp_path / "out.webm", settings("0", None, preset="8"))
    assert report.notices[0] == "webm cannot hold #1 audio (aac): encoded anew as libopus"
    with av.open(str(source)) as old, av.open(str(tmp_path / "out.webm")) as new:
        assert new.streams.audio[0].codec_context.name in ("opus", "libopus")
        assert new.streams.audio[0].language == "eng"
        samples = [sum(f.samples for f in container.decode(container.streams.audio[0])) for container in (old, new)]
    assert samples[1] == pytest.approx(samples[0], abs=2 * 1024)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", Fraction(3, 2)), ("1:30", 90), ("01:00:00.25", 3600 + Fraction(1, 4))]
)
def test_times(text: str, seconds: Fraction) -> None:
    assert parse_time(text) == seconds


def test_values_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"a time is seconds or \[HH:\]MM:SS"):
        parse_time("soon")
    with pytest.raises(ValueError, match="a size is WIDTHxHEIGHT"):
        parse_size("0x10")
    with pytest.raises(ValueError, match="a number above 0"):
        parse_ratio("-1")
    assert (parse_size("1920x1080"), parse_ratio("30000/1001")) == ((1920, 1080), Fraction(30000, 1001))


def test_interlaced_video_is_refused_without_a_call(tmp_path: Path) -> None:
    clip = Clip(codec="libx264", options={"preset": "veryfast", "flags": "+ildct+ilme"}, pts=range(0, 5 * 512, 512))
    source = make(tmp_path / "in.mkv", clip)
    with pytest.raises(esr_client.InputError, match="the video is interlaced; add --deinterlace bwdif"):
        FileJob(source, tmp_path / "out.mp4", FileSettings())
    with FileJob(source, tmp_path / "out.mp4", FileSettings(deinterlace="bwdif")) as job:
        assert job.model == "esr_stack_x2"
