"""Whole files through a real server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest
from av.stream import Disposition

import esr_client
from esr_client import ColorRange
from esr_client.files import Encode, FileReport, FileSettings, InputSettings, Progress, upscale_file
from tests.client import clips
from tests.client.clips import Clip, make
from tests.support.server import running_on_thread, target
from tests.support.threads import policies


@pytest.fixture(scope="module")
def client() -> Iterator[esr_client.Client]:
    """A client of a real server."""
    with running_on_thread() as server, esr_client.connect(target(server)) as client:
        yield client


def upscale(client: esr_client.Client, source: Path | str, out: Path, **settings: object) -> FileReport:
    """Upscale with bicubic and a quick encoder."""
    chosen = {"model": "bicubic_x2", "preset": "ultrafast"} | settings
    return upscale_file(client, source, out, FileSettings(**chosen))  # type: ignore[arg-type]


def only(folder: Path) -> set[str]:
    """Names in a folder, hidden ones too."""
    return {path.name for path in folder.iterdir()}


VFR = (0, 512, 1024, 1100, 1101, 4000, 4512, 9000, 9001, 12345)
EVERYTHING = Clip(
    pts=VFR,
    aspect=Fraction(4, 3),
    rotation=90,
    color=(1, 9, 16, 9),
    languages=("eng", "deu"),
    chapters=True,
    metadata={"title": "A film", "comment": "made for a test"},
)


@pytest.mark.parametrize("encode", list(Encode))
@pytest.mark.parametrize(("suffix", "text"), [(".mp4", "mov_text"), (".mkv", "subrip"), (".mov", "mov_text")])
def test_everything_is_kept(client: esr_client.Client, tmp_path: Path, suffix: str, text: str, encode: Encode) -> None:
    time_base = Fraction(1, 1000) if suffix == ".mkv" else EVERYTHING.time_base
    clip = Clip(**{**vars(EVERYTHING), "subtitles": text, "time_base": time_base, "attachment": suffix == ".mkv"})
    source, out = make(tmp_path / f"in{suffix}", clip), tmp_path / f"out{suffix}"
    report = upscale(client, source, out, encode=encode)
    old, new = clips.video(source), clips.video(out)
    assert report.frames == len(VFR)
    assert report.notices == ()
    assert old.times == tuple(pts * time_base for pts in VFR)
    assert new.times == old.times
    assert new.size == (96, 64)
    assert (new.pixel_format, new.aspect, new.rotation, new.color) == ("yuv420p", Fraction(4, 3), 90, (1, 9, 16, 9))
    assert clips.others(out) == clips.others(source)
    assert clips.chapters(out) == clips.chapters(source)
    assert clips.attachments(out) == clips.attachments(source)
    assert clips.metadata(out)["title"] == "A film"
    assert only(tmp_path) == {source.name, out.name}


@pytest.mark.parametrize(
    ("suffix", "time_base", "first"),
    [
        (".mp4", Fraction(1, 12800), 3),
        (".mp4", Fraction(1, 90000), 1001),
        (".mp4", Fraction(1001, 30000), 7),
        (".mov", Fraction(1, 600), 1),
        (".mkv", Fraction(1, 1000), 67),
        (".ts", Fraction(1, 90000), 132003),
    ],
)
@pytest.mark.parametrize("encode", list(Encode))
def test_a_beginning_after_0_and_gaps_are_kept(
    client: esr_client.Client, tmp_path: Path, suffix: str, time_base: Fraction, first: int, encode: Encode
) -> None:
    pts = [first + step for step in (0, 1, 2, 40, 41, 1000, 1001)]
    source = make(tmp_path / f"in{suffix}", Clip(pts=pts, time_base=time_base))
    upscale(client, source, tmp_path / f"out{suffix}", encode=encode)
    times = clips.video(tmp_path / f"out{suffix}").times
    assert times == clips.video(source).times
    assert times == tuple(p * time_base for p in pts)


def test_pictures_that_an_edit_list_hides_stay_hidden(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(pts=[-1024, -512, 0, 512, 1024], options={"bf": "0"}))
    old = clips.video(source)
    assert old.times == tuple(Fraction(i, 25) for i in range(3))
    assert upscale(client, source, tmp_path / "out.mp4").frames == 3
    assert clips.video(tmp_path / "out.mp4").times == old.times
    upscale(client, source, tmp_path / "server.mp4", encode=Encode.SERVER)
    assert clips.video(tmp_path / "server.mp4").times == old.times


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {}),
        ("libx265", {"x265-params": "log-level=none"}),
        ("libvpx-vp9", {"cpu-used": "8"}),
        ("libsvtav1", {"preset": "12"}),
        ("mpeg2video", {"bf": "2"}),
        ("mpeg4", {}),
        ("mjpeg", {}),
        ("ffv1", {}),
    ],
)
def test_every_codec_goes_in(client: esr_client.Client, tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    name = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    time_base = Fraction(1, 25) if codec.startswith("mpeg") else Fraction(1, 1000)
    pts = range(10) if codec.startswith("mpeg") else range(0, 400, 40)
    clip = Clip(codec=codec, options=options, pixel_format=name, pts=pts, time_base=time_base, size=(96, 64))
    source = make(tmp_path / "in.mkv", clip)
    report = upscale(client, source, tmp_path / "out.mkv")
    assert clips.video(tmp_path / "out.mkv").times == clips.video(source).times
    assert report.statistics.packets_in == (0 if codec == "ffv1" else 10)
    assert report.frames == 10


@pytest.mark.parametrize("encode", list(Encode))
@pytest.mark.parametrize(
    ("codec", "preset"),
    [("libx264", "ultrafast"), ("libx265", "ultrafast"), ("libvpx-vp9", "8"), ("libsvtav1", "12")],
)
def test_every_codec_comes_out(
    client: esr_client.Client, tmp_path: Path, codec: str, preset: str, encode: Encode
) -> None:
    source = make(tmp_path / "in.mp4", Clip(pixel_format="yuv420p", size=(64, 64), pts=VFR))
    upscale(client, source, tmp_path / "out.mp4", codec=codec, preset=preset, crf=30, encode=encode)
    new = clips.video(tmp_path / "out.mp4")
    assert new.times == clips.video(source).times
    assert new.size == (128, 128)
    assert policies() == {os.SCHED_OTHER}  # SVT-AV1 would take real-time priority, where root runs it
    assert codec not in ("libx264", "libx265") or clips.is_length_prefixed(tmp_path / "out.mp4")


@pytest.mark.parametrize("encode", list(Encode))
def test_pictures_of_a_file_are_not_cut_up(client: esr_client.Client, tmp_path: Path, encode: Encode) -> None:
    """By PyAV's choice x264 would make a slice for each thread, which is slower."""
    source = make(tmp_path / "in.mp4", Clip(size=(320, 240), pts=range(4), time_base=Fraction(1, 25)))
    upscale(client, source, tmp_path / "out.mp4", preset="ultrafast", encode=encode)
    assert clips.slices(tmp_path / "out.mp4") == {1}


@pytest.mark.parametrize("encode", list(Encode))
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv422p", "yuv444p"])
def test_depth_and_subsampling_stay(client: esr_client.Client, tmp_path: Path, name: str, encode: Encode) -> None:
    source = make(tmp_path / "in.mkv", Clip(pixel_format=name, time_base=Fraction(1, 1000), pts=range(0, 400, 40)))
    upscale(client, source, tmp_path / "out.mkv", encode=encode)
    assert clips.video(tmp_path / "out.mkv").pixel_format == name


def test_full_range_stays(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(pixel_format="yuvj420p", color=(2, 1, 1, 1)))
    upscale(client, source, tmp_path / "out.mp4")
    new = clips.video(tmp_path / "out.mp4")
    assert (new.pixel_format, new.color) == ("yuvj420p", (2, 1, 1, 1))


def test_a_bitstream_without_times(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.h264", Clip(time_base=Fraction(1, 25), pts=range(12)))
    report = upscale(client, source, tmp_path / "out.mp4")
    assert report.notices == ("the input has pictures without a time; they are placed 25 to the second",)
    assert clips.video(tmp_path / "out.mp4").times == tuple(Fraction(i, 25) for i in range(12))
    with pytest.raises(esr_client.OutputError, match="no times"):
        upscale(client, source, tmp_path / "server.mp4", encode=Encode.SERVER)


def test_streams_the_container_cannot_hold_are_named(client: esr_client.Client, tmp_path: Path) -> None:
    clip = Clip(
        time_base=Fraction(1, 1000), pts=range(0, 400, 40), subtitles="subrip", attachment=True, languages=("eng",)
    )
    source = make(tmp_path / "in.mkv", clip)
    report = upscale(client, source, tmp_path / "out.mp4")
    assert report.notices == ("mp4 cannot hold #2 subtitle (subrip), #3 attachment (note.txt): left out",)
    assert [row[0] for row in clips.others(tmp_path / "out.mp4")] == ["audio"]


def test_times_that_the_container_rounds_are_told(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(pts=VFR))
    report = upscale(client, source, tmp_path / "out.mkv")
    assert report.notices == ("matroska counts in 1/1000 s and the input in 1/12800 s: times are rounded",)
    even = make(tmp_path / "even.mp4", Clip())
    assert upscale(client, even, tmp_path / "even.mkv").notices == ()


def test_webm_gets_vp9(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", Clip(time_base=Fraction(1, 1000), pts=range(0, 400, 40)))
    upscale(client, source, tmp_path / "out.webm", preset="8")
    with av.open(str(tmp_path / "out.webm")) as out:
        assert out.streams.video[0].codec_context.name == "vp9"


def test_the_video_need_not_come_first(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(languages=("eng", "fra"), audio_first=True))
    upscale(client, source, tmp_path / "out.mp4")
    assert clips.others(tmp_path / "out.mp4") == clips.others(source)
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert [stream.type for stream in out.streams] == ["audio", "audio", "video"]


def test_a_cover_is_copied(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(cover=True))
    upscale(client, source, tmp_path / "out.mp4")
    assert clips.others(tmp_path / "out.mp4") == clips.others(source)
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert [bool(s.disposition & Disposition.attached_pic) for s in out.streams] == [False, True]


def test_a_second_video_is_copied(client: esr_client.Client, tmp_path: Path) -> None:
    first, second = make(tmp_path / "a.mp4", Clip(pts=VFR)), make(tmp_path / "b.mp4", Clip(size=(64, 64)))
    source = clips.join(tmp_path / "in.mp4", first, second)
    upscale(client, source, tmp_path / "out.mp4")
    assert clips.video(tmp_path / "out.mp4").times == clips.video(first).times
    assert clips.others(tmp_path / "out.mp4") == clips.others(source)


def _say_nothing(*_: object) -> None:
    pass


@contextmanager
def http(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """An HTTP server whose GET is `answer`; gives its address."""
    handler = type(
        "Handler",
        (BaseHTTPRequestHandler,),
        {"do_GET": answer, "log_message": _say_nothing, "protocol_version": "HTTP/1.1"},
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_url(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.ts", Clip(time_base=Fraction(1, 90000), pts=range(132000, 168000, 3000)))

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        whole = source.read_bytes()
        for start in range(0, len(whole) + 1880, 1880):  # as a live one would: in pieces, of unknown length
            piece = whole[start : start + 1880]
            request.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    with http(answer) as address:
        report = upscale(client, f"{address}/live.ts", tmp_path / "out.ts")
    assert report.frames == 12
    assert clips.video(tmp_path / "out.ts").times == clips.video(source).times


def test_a_part_of_what_does_not_end(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(pts=range(0, 100 * 512, 512), options={"bf": "0"}, languages=("eng",)))
    assert upscale(client, source, tmp_path / "out.mp4", input=InputSettings(duration_s=Fraction(2, 5))).frames == 10
    assert clips.video(tmp_path / "out.mp4").times == clips.video(source).times[:10]


def test_a_url_that_falls_silent(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.ts", Clip(time_base=Fraction(1, 90000), pts=range(132000, 492000, 3000)))
    over = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(source.read_bytes()[: source.stat().st_size * 3 // 4])
        request.wfile.flush()
        over.wait(10)

    with http(answer) as address:
        with pytest.raises(esr_client.InputError, match=r"cannot (open|read) http://127.0.0.1"):
            upscale(
                client,
                f"{address}/live.ts",
                tmp_path / "out.ts",
                input=InputSettings(open_timeout_s=1.0, read_timeout_s=0.3),
            )
        over.set()
    assert only(tmp_path) == {"in.ts"}


def test_progress(client: esr_client.Client, tmp_path: Path) -> None:
    seen: list[Progress] = []
    source = make(tmp_path / "in.mp4", Clip())
    upscale_file(
        client, source, tmp_path / "out.mp4", FileSettings(model="bicubic_x2", preset="ultrafast"), progress=seen.append
    )
    assert [(p.frames, p.total) for p in seen] == [(i, 12) for i in range(1, 13)]


# ---- what does not work, and what is left behind -------------------------------------------------------------------


def test_odd_sizes(client: esr_client.Client, tmp_path: Path) -> None:
    clip = Clip(
        size=(35, 21),
        codec="libvpx-vp9",
        options={"cpu-used": "8"},
        time_base=Fraction(1, 1000),
        pts=range(0, 400, 40),
    )
    source, out = make(tmp_path / "in.mkv", clip), tmp_path / "out.mkv"
    with pytest.raises(esr_client.OutputError, match=r"odd size 105x63; choose --codec vp9 or av1"):
        upscale(client, source, out, model="bicubic_x3")
    assert only(tmp_path) == {"in.mkv"}
    upscale(client, source, out, model="bicubic_x3", codec="libvpx-vp9", preset="8")
    assert clips.video(out).size == (105, 63)


def test_rgb_is_encoded_as_every_player_takes_it(client: esr_client.Client, tmp_path: Path) -> None:
    clip = Clip(codec="ffv1", pixel_format="bgr0", time_base=Fraction(1, 1000), pts=range(0, 400, 40), size=(96, 64))
    source, out = make(tmp_path / "in.mkv", clip), tmp_path / "out.mkv"
    report = upscale(client, source, out, crf=0)
    assert "rgb24 is encoded as yuv420p, which libx264 takes" in report.notices
    made = clips.video(out)
    assert (made.pixel_format, made.color[0], made.color[3]) == ("yuv420p", ColorRange.LIMITED, 1)
    assert _mean_rgb(out) == pytest.approx(_mean_rgb(source), abs=2)
    upscale(client, source, out, codec="libx265", overwrite=True)
    assert clips.video(out).pixel_format == "gbrp"


def _mean_rgb(path: Path) -> list[float]:
    with av.open(str(path)) as opened:
        return list(next(opened.decode(video=0)).to_ndarray(format="rgb24").mean(axis=(0, 1)))


def test_rgb_of_h264_is_decoded_here(client: esr_client.Client, tmp_path: Path) -> None:
    clip = Clip(codec="libx264rgb", pixel_format="rgb24", size=(96, 64))
    source, out = make(tmp_path / "in.mkv", clip), tmp_path / "out.mkv"
    upscale(client, source, out, crf=0)
    assert clips.video(out).times == clips.video(source).times


@pytest.mark.parametrize(
    ("name", "what"),
    [("yuva420p", "transparency"), ("yuv420p12le", "a depth or layout"), ("gray12le", "a depth or layout")],
)
def test_pictures_that_are_not_taken(client: esr_client.Client, tmp_path: Path, name: str, what: str) -> None:
    source = make(tmp_path / "in.mkv", Clip(codec="ffv1", pixel_format=name, time_base=Fraction(1, 1000)))
    with pytest.raises(
        esr_client.InputError, match=f"{name} pictures, with {what} that is not supported; convert it first"
    ):
        upscale(client, source, tmp_path / "out.mkv")


def test_an_unknown_model(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip())
    with pytest.raises(esr_client.NotFoundError, match="bicubic_x2"):
        upscale(client, source, tmp_path / "out.mp4", model="bicubc_x2")
    assert only(tmp_path) == {"in.mp4"}


def test_damage_in_the_middle_leaves_nothing(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", Clip(codec="mjpeg", pixel_format="yuvj420p", time_base=Fraction(1, 1000)))
    clips.wipe(source, 6)
    out = tmp_path / "out.mp4"
    with pytest.raises(esr_client.DamagedInputError):
        upscale(client, source, out)
    assert only(tmp_path) == {"in.mkv"}
    report = upscale(client, source, out, input=InputSettings(skip_undecodable=True))
    assert (report.frames, report.statistics.packets_skipped) == (11, 1)
    assert report.notices == ("11 of 12 pictures were written; 1 could not be decoded (1 damaged packets)",)


@pytest.mark.parametrize("name", ["nothing.mp4", "text.mp4", "sound.mp4"])
def test_inputs_that_are_none(client: esr_client.Client, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.mp4").write_text("no film at all")
    with av.open(str(tmp_path / "sound.mp4"), "w") as sound:
        stream = sound.add_stream("aac", rate=48000)
        sound.mux(stream.encode(None))
    before = only(tmp_path)
    with pytest.raises(esr_client.InputError, match=name):
        upscale(client, tmp_path / name, tmp_path / "out.mp4")
    assert only(tmp_path) == before


def test_outputs_that_cannot_be(client: esr_client.Client, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip())
    before = source.read_bytes()
    refused = {source: "the input itself", tmp_path / "out.xyz": "known are", tmp_path / "no" / "out.mp4": "no folder"}
    for out, why in refused.items():
        with pytest.raises(esr_client.OutputError, match=why):
            upscale(client, source, out)
    with pytest.raises(esr_client.OutputError, match="unknown encoder"):
        upscale(client, source, tmp_path / "out.mp4", codec="libx266")
    with pytest.raises(esr_client.OutputError, match="does not support"):
        upscale(client, source, tmp_path / "out.webm", codec="libx264")
    with pytest.raises(esr_client.OutputError, match="takes --preset"):
        upscale(client, source, tmp_path / "out.mp4", preset="sluggish")
    assert source.read_bytes() == before
    assert only(tmp_path) == {"in.mp4"}


def test_overwriting(client: esr_client.Client, tmp_path: Path) -> None:
    source, out = make(tmp_path / "in.mp4", Clip()), tmp_path / "out.mp4"
    out.write_text("something else")
    upscale(client, source, out, overwrite=True)
    assert clips.video(out).size == (96, 64)


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_source_is_never_replaced(
    client: esr_client.Client, tmp_path: Path, link: Callable[[Path, Path], None] | None
) -> None:
    source, out = make(tmp_path / "in.mp4", Clip()), tmp_path / "out.mp4"
    if link is not None:
        link(source, out)
    before = source.read_bytes()
    with pytest.raises(esr_client.OutputError, match="is the input itself"):
        upscale(client, source, source if link is None else out, overwrite=True)
    assert source.read_bytes() == before


def test_a_link_is_kept_and_its_target_replaced(client: esr_client.Client, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    source, real, out = make(tmp_path / "in.mp4", Clip()), tmp_path / "elsewhere" / "real.mp4", tmp_path / "out.mp4"
    real.write_text("something else")
    out.symlink_to(real)
    upscale(client, source, out, overwrite=True)
    assert out.is_symlink()
    assert clips.video(real).size == (96, 64)


def test_secrets_of_a_url_stay_out_of_messages(client: esr_client.Client, tmp_path: Path) -> None:
    url = "http://someone:secret@127.0.0.1:9/film.mp4?token=secret"
    with pytest.raises(esr_client.InputError) as caught:
        upscale_file(client, url, tmp_path / "out.mp4")
    assert "secret" not in str(caught.value)
    assert "http://127.0.0.1:9/film.mp4" in str(caught.value)
