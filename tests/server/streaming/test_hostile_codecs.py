"""Codecs driven to their limits over gRPC, next to a stream that loses nothing."""

from __future__ import annotations

import asyncio
import gc
import resource
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import CodecIsolation, SchedulerSettings
from esr_upscale.frame import Frame
from esr_upscale.media.encode import EncodedFrame, Encoder
from tests.support.calls import Outcome, Stub, raw_config, raw_frame, stub_of, upscale
from tests.support.media import encode
from tests.support.server import running
from tests.support.waiting import comes_true

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def _encoded(codec: str, **options: str) -> pb.UpscaleRequest:
    return raw_config(64, 48, encoded_output=pb.EncodedOutput(codec=codec, options=options))


def _frames(count: int) -> list[pb.UpscaleRequest]:
    return [raw_frame(i, 64, 48) for i in range(count)]


async def _beside_a_good_stream(stub: Stub, work: Awaitable[Outcome]) -> Outcome:
    """Do `work` while a stream runs; return what came of it when the stream has lost nothing."""
    call = stub.Upscale()
    await call.write(raw_config())
    assert (await call.read()).negotiated.model
    await call.write(raw_frame(0))
    assert (await call.read()).frame.sequence == 0
    outcome = await work
    for number in range(1, 30):
        await call.write(raw_frame(number))
        assert (await call.read()).frame.sequence == number
    await call.done_writing()
    assert (await call.read()).statistics.frames_out == 30
    return outcome


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"keyint_min": "20", "g": "10"},
            "'keyint_min' of libx265 is at most 'g', the largest distance of keyframes, 10",
        ),
        ({"keyint_min": "1", "g": "0"}, "0 here, not 1"),
        ({"keyint_min": "251"}, "250 here, not 251"),
    ],
)
async def test_x265_keyint_min_above_g(options: dict[str, str], says: str) -> None:
    """x265 itself reads past its lookahead there, and the process ends."""
    async with running() as server, stub_of(server) as stub:
        requests = [_encoded("libx265", preset="ultrafast", **options), *_frames(60)]
        outcome = await _beside_a_good_stream(stub, upscale(stub, requests))
    assert outcome.code is INVALID
    assert says in outcome.details


async def test_x265_keyint_min_up_to_g() -> None:
    async with running() as server, stub_of(server) as stub:
        requests = [_encoded("libx265", preset="ultrafast", keyint_min="10", g="10"), *_frames(40)]
        outcome = await upscale(stub, requests)
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert len(outcome.packets) == 40


def _config(codec: str, extradata: bytes = b"", width: int = 0, height: int = 0, *, skip: bool = False) -> Any:
    fmt = pb.VideoFormat(width=width, height=height)
    base = pb.Rational(num=1, den=25)
    encoded_input = pb.EncodedInput(codec=codec, extradata=extradata, time_base=base, format=fmt, skip_undecodable=skip)
    return pb.UpscaleRequest(config=pb.UpscaleConfig(model="bicubic_x2", encoded_input=encoded_input))


def _packet(data: bytes) -> pb.UpscaleRequest:
    return pb.UpscaleRequest(packet=pb.Packet(data=data, pts=0))


AVCC = bytes([1, 77, 0, 31, 0xFC, 0xE0, 0])
"""A codec header of MP4 without parameter sets, whose units have lengths of one byte."""

CROWDED = {
    "h264 start codes": (_config("h264"), _packet(b"\0\0\1\x67" * 250_000)),
    "h264 start codes, passed over": (_config("h264", skip=True), _packet(b"\0\0\1\x67" * 250_000)),
    "h264 lengths": (_config("h264", AVCC), _packet(b"\1\x67" * 500_000)),
    "h264 extradata": (_config("h264", b"\0\0\1\x67" * 250_000), _packet(b"\0\0\1\x67")),
    "hevc start codes": (_config("hevc"), _packet(b"\0\0\1\x42\1" * 200_000)),
}


@pytest.mark.parametrize("name", CROWDED)
async def test_a_packet_of_many_nal_units(name: str) -> None:
    """FFmpeg takes 4 kB for each, 1 GB for these."""
    async with running() as server, stub_of(server) as stub:
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = await _beside_a_good_stream(stub, upscale(stub, CROWDED[name]))
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    assert outcome.code is INVALID
    assert "more than 4096 NAL units; cut the pictures into fewer slices" in outcome.details
    assert grown_mb < 100


@pytest.mark.parametrize("codec", ["h264", "mjpeg", "av1"])
async def test_a_packet_too_large_for_its_picture(codec: str) -> None:
    async with running() as server, stub_of(server) as stub:
        requests = [_config(codec, width=64, height=48), _packet(bytes(5_000_000))]
        outcome = await _beside_a_good_stream(stub, upscale(stub, requests))
    assert outcome.code is INVALID
    assert "packet 0 has 5000000 bytes; for pictures of this size it has at most 4194304" in outcome.details


@pytest.mark.parametrize("slices", ["1", "30"])
async def test_pictures_of_many_slices(slices: str) -> None:
    media = encode("h264", size=(640, 480), slices=slices)
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [media.config(), *media.requests()])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert len(outcome.frames) == 12


async def test_slow_encoders_hold_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many encoders as there are workers, and two more, are kept busy; a stream of frames goes on."""
    workers = 2
    release, busy = threading.Event(), threading.Semaphore(0)
    push = Encoder.push

    def push_slowly(encoder: Encoder, frame: Frame) -> list[EncodedFrame]:
        busy.release()
        assert release.wait(30)
        return push(encoder, frame)

    monkeypatch.setattr(Encoder, "push", push_slowly)
    quick = {"scheduler": SchedulerSettings(workers=workers), "codec_isolation": CodecIsolation.NONE}
    async with running(**quick) as server, stub_of(server) as stub:
        slow = [asyncio.create_task(upscale(stub, [_encoded("libx264"), *_frames(2)])) for _ in range(workers + 2)]
        for _ in slow:
            assert await asyncio.to_thread(busy.acquire, timeout=20), "an encoder waited for another one"
        good = await asyncio.wait_for(upscale(stub, [raw_config(), *map(raw_frame, range(20))]), 20)
        release.set()
        outcomes = await asyncio.gather(*slow)
    assert [frame.sequence for frame in good.frames] == list(range(20))
    assert [len(outcome.packets) for outcome in outcomes] == [2] * len(slow)


@pytest.mark.parametrize("codec", ["libsvtav1", "libx265", "libx264"])
async def test_encoders_of_failed_streams_are_released(codec: str) -> None:
    """A stream that fails in its encoder leaves none of its threads, and does not wait for the garbage collector."""
    options = {"libsvtav1": {"preset": "10"}}.get(codec, {"preset": "ultrafast"})
    async with running() as server, stub_of(server) as stub:
        assert (await upscale(stub, [raw_config(), raw_frame(0)])).code is grpc.StatusCode.OK
        before = _threads()
        gc.disable()
        try:
            for _ in range(10):
                requests = [_encoded(codec, **options), *_frames(3), raw_frame(3, 64, 48, pts=0)]
                outcome = await _beside_a_good_stream(stub, upscale(stub, requests))
                assert outcome.code is INVALID
                assert "an encoder needs increasing pts" in outcome.details
            # gRPC, and the executors of this server, may have started a few of their own.
            assert await comes_true(lambda: _threads() <= before + 10)
        finally:
            gc.enable()


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
