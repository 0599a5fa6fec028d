"""Where chroma lies: read from the headers, used by the server, and said again of the output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.logging
import pytest

import esr_client
from esr_client import ChromaLocation
from esr_client._av_frame import from_frame, to_frame
from esr_client.files import Encode, FileSettings, upscale_file
from esr_client.files._siting import location_in_headers
from tests.client.clips import Clip, make
from tests.support.server import running_on_thread

LOCATIONS = [location for location in ChromaLocation if location is not ChromaLocation.UNSPECIFIED]


@pytest.fixture(scope="module")
def client() -> Iterator[esr_client.Client]:
    with running_on_thread() as server, esr_client.connect(f"127.0.0.1:{server.grpc.ports[0]}") as connected:
        yield connected


def _make_clip(folder: Path, codec: str, location: ChromaLocation) -> Path:
    options = {"chroma_sample_location": str(int(location))}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    return make(folder / "in.mp4", Clip(codec=codec, options=options, size=(64, 64)))


def _location_of(path: Path) -> ChromaLocation:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return location_in_headers(stream, next(container.demux(stream)))


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: location.name)
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_the_headers_are_read(tmp_path: Path, codec: str, location: ChromaLocation) -> None:
    # Left is what H.264 means without saying, so its encoder does not say it.
    is_default = codec == "libx264" and location is ChromaLocation.LEFT
    assert _location_of(_make_clip(tmp_path, codec, location)) is (
        ChromaLocation.UNSPECIFIED if is_default else location
    )


def test_headers_and_codecs_without_siting(tmp_path: Path) -> None:
    assert _location_of(make(tmp_path / "a.mp4", Clip())) is ChromaLocation.UNSPECIFIED
    assert _location_of(make(tmp_path / "b.mp4", Clip(codec="mpeg4"))) is ChromaLocation.UNSPECIFIED


@pytest.mark.skipif(not hasattr(av.VideoFrame, "chroma_location"), reason="PyAV 18 has no siting of a frame")
def test_frames_have_a_siting(tmp_path: Path) -> None:
    with av.open(str(_make_clip(tmp_path, "libx265", ChromaLocation.TOP))) as container:
        decoded = next(container.decode(video=0))
    frame = to_frame(decoded)
    assert frame.color.chroma_location is ChromaLocation.TOP
    assert to_frame(from_frame(frame)).color == frame.color


def test_log_level_and_packet_are_left_as_they_were(tmp_path: Path) -> None:
    before = av.logging.get_level()
    with av.open(str(_make_clip(tmp_path, "libx264", ChromaLocation.TOP))) as container:
        stream = container.streams.video[0]
        packet = next(container.demux(stream))
        data = bytes(packet)
        location_in_headers(stream, packet)
        assert bytes(packet) == data
    assert av.logging.get_level() == before


@pytest.mark.parametrize("encode", list(Encode))
def test_what_the_input_says_the_output_says(client: esr_client.Client, tmp_path: Path, encode: Encode) -> None:
    source = _make_clip(tmp_path, "libx265", ChromaLocation.TOPLEFT)
    out = tmp_path / "out.mp4"
    report = upscale_file(client, source, out, FileSettings(model="bicubic_x2", encode=encode))
    assert report.negotiated.output_format.color.chroma_location is ChromaLocation.TOPLEFT
    assert _location_of(out) is ChromaLocation.TOPLEFT
