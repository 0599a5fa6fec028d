"""Codecs in processes of their own: the same pictures and packets, and a process that fails ends one stream only."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_media.formats import pixel_format
from esr_media.packet import Packet
from esr_server.codecs.codec import Codecs, DecodeStage, InProcessCodecs
from esr_server.codecs.isolated import IsolatedCodecs
from esr_server.config import CodecIsolation, SchedulerSettings
from esr_server.errors import CodecProcessError, ConfigError, DecoderDiedError, EncoderDiedError
from esr_upscale.errors import CodecOptionError, InterlacedError, LimitError, MediaDataError, UpscaleError
from esr_upscale.frame import Frame
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import Encoder, EncoderSettings
from tests.support.calls import Outcome, Stub, raw_config, raw_frame, stub_of, upscale
from tests.support.frames import noise_planes
from tests.support.media import encode
from tests.support.server import running
from tests.support.waiting import comes_true, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="codecs have processes of their own on Linux only")

FRAME_BYTES = 128 * 96 * 6
ENCODERS = ("libx264", "libx265", "libvpx-vp9", "libsvtav1")
OPTIONS = {"libx265": {"preset": "ultrafast"}, "libsvtav1": {"preset": "10"}, "libvpx-vp9": {"cpu-used": "8"}}


@pytest.fixture(scope="module")
def codecs() -> Iterator[IsolatedCodecs]:
    """Codecs in processes, for small frames."""
    isolated = IsolatedCodecs(FRAME_BYTES, FRAME_BYTES, 20.0)
    yield isolated
    isolated.close()


def starters() -> list[psutil.Process]:
    """Processes that start those of codecs."""
    return [p for p in psutil.Process().children() if any("forkserver" in part for part in p.cmdline())]


def codec_processes() -> list[psutil.Process]:
    """Processes of codecs that this process has."""
    return [child for starter in starters() for child in starter.children() if child.status() != psutil.STATUS_ZOMBIE]


def frames(count: int = 4, fmt: str = "yuv420p", size: tuple[int, int] = (96, 64)) -> list[Frame]:
    """Frames of noise."""
    return [
        Frame(pixel_format(fmt), *size, noise_planes(pixel_format(fmt), *size, seed=i), 2 * i + 1, 2, Fraction(1, 50))
        for i in range(count)
    ]


def packets_of(encoder: str, pictures: list[Frame]) -> list[Packet]:
    """Encode in this process."""
    stage = Encoder(EncoderSettings(encoder, OPTIONS.get(encoder, {})))
    encoded = [one for frame in pictures for one in stage.push(frame)] + stage.flush()
    return [one.packet for one in encoded]


def decoded(stage: DecodeStage, packets: list[Packet]) -> list[tuple[Any, ...]]:
    """All that a decoder gives, pictures copied as they come."""
    result = []
    with closing(stage):
        for steps in [*(stage.push(packet) for packet in packets), stage.flush()]:
            for frame in steps:
                samples = [plane.copy() for plane in frame.planes]
                result.append((frame.pts, frame.duration, frame.time_base, frame.color, frame.key, samples))
    return result


@pytest.mark.parametrize(
    ("codec", "encoder"), [("h264", "libx264"), ("hevc", "libx265"), ("vp9", "libvpx-vp9"), ("av1", "libsvtav1")]
)
def test_decoder_gives_the_same_frames(codecs: IsolatedCodecs, codec: str, encoder: str) -> None:
    packets = packets_of(encoder, frames(12))
    settings = DecoderSettings(codec, Fraction(1, 50), max_pixels=96 * 64)
    expected = decoded(InProcessCodecs().decoder(settings, ""), packets)
    actual = decoded(codecs.decoder(settings, ""), packets)
    assert len(actual) == len(expected) == 12
    for one, other in zip(actual, expected, strict=True):
        assert one[:-1] == other[:-1]
        assert all(np.array_equal(a, b) for a, b in zip(one[-1], other[-1], strict=True))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoder_gives_the_same_packets(codecs: IsolatedCodecs, encoder: str) -> None:
    settings, pictures = EncoderSettings(encoder, OPTIONS.get(encoder, {}), threads=1), frames(8)

    def encoded(source: Codecs) -> list[tuple[Packet, int]]:
        stage = source.encoder(settings)
        result = [one for frame in pictures for one in stage.push(frame)] + stage.flush()
        stage.close()
        return [(one.packet, one.index) for one in result]

    assert encoded(codecs) == encoded(InProcessCodecs())


def test_frames_outlive_their_slots_and_the_decoder(codecs: IsolatedCodecs) -> None:
    packets = packets_of("libx264", frames(20))
    settings = DecoderSettings("h264", Fraction(1, 50), max_pixels=96 * 64)
    expected = decoded(InProcessCodecs().decoder(settings, ""), packets)
    stage = codecs.decoder(settings, "")
    kept = [frame for packet in packets for frame in stage.push(packet)] + list(stage.flush())
    stage.close()
    assert len(kept) == 20
    for frame, other in zip(kept, expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, other[-1], strict=True))
        assert not any(plane.flags.writeable and plane.base is not None for plane in frame.planes)


@pytest.mark.parametrize(
    ("settings", "deinterlace", "error"),
    [
        (DecoderSettings("h263", Fraction(1, 50)), "", CodecOptionError),
        (DecoderSettings("h264", Fraction(1, 50)), "yadif", CodecOptionError),
        (DecoderSettings("h264", Fraction(1, 50), b"\0\0\1\x67" * 5000), "", LimitError),
    ],
)
def test_errors_of_opening_are_the_same(
    codecs: IsolatedCodecs, settings: DecoderSettings, deinterlace: str, error: type[UpscaleError]
) -> None:
    with pytest.raises(error) as in_process:
        InProcessCodecs().decoder(settings, deinterlace)
    with pytest.raises(error) as isolated:
        codecs.decoder(settings, deinterlace)
    assert str(isolated.value) == str(in_process.value)
    assert eventually(lambda: not codec_processes())


def test_errors_of_packets_are_the_same(codecs: IsolatedCodecs) -> None:
    settings = DecoderSettings("h264", Fraction(1, 50))
    stage = codecs.decoder(settings, "")
    with pytest.raises(MediaDataError, match="packet 0 is empty"):
        list(stage.push(Packet(b"")))
    assert len(decoded(stage, packets_of("libx264", frames(3)))) == 3


def test_interlaced_is_refused_or_made_progressive(codecs: IsolatedCodecs) -> None:
    clip = encode("mpeg2video", interlaced=True, pts=range(6), bf="0")
    packets = [Packet(p.data, p.pts, p.dts) for p in clip.packets]
    settings = DecoderSettings("mpeg2video", clip.time_base, clip.extradata)
    with pytest.raises(InterlacedError, match="choose deinterlace='bwdif'"):
        decoded(codecs.decoder(settings, ""), packets)
    expected = decoded(InProcessCodecs().decoder(settings, "bwdif"), packets)
    actual = decoded(codecs.decoder(settings, "bwdif"), packets)
    assert len(actual) == len(packets)
    for one, other in zip(actual, expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one[-1], other[-1], strict=True))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGFPE, 35])
def test_a_crash_is_an_error(codecs: IsolatedCodecs, number: int) -> None:
    decoder = codecs.decoder(DecoderSettings("h264", Fraction(1, 50)), "")
    (process,) = codec_processes()
    process.send_signal(number)
    with pytest.raises(DecoderDiedError, match="the decoder crashed, or took more memory than it may"):
        list(decoder.push(Packet(b"\0\0\1\x67")))
    decoder.close()
    encoder = codecs.encoder(EncoderSettings("libx264"))
    (process,) = codec_processes()
    process.send_signal(number)
    with pytest.raises(EncoderDiedError, match="the encoder crashed"):
        encoder.push(frames(1)[0])
    encoder.close()
    assert eventually(lambda: not codec_processes())


def test_a_process_that_does_not_answer_is_stopped() -> None:
    with closing(IsolatedCodecs(FRAME_BYTES, FRAME_BYTES, 5.0)) as codecs:
        with closing(codecs.encoder(EncoderSettings("libx264"))) as encoder:
            (process,) = codec_processes()
            process.suspend()
            with pytest.raises(EncoderDiedError, match=r"the encoder did not answer in 5 s, and was stopped"):
                encoder.push(frames(1)[0])
        assert eventually(lambda: not codec_processes())


def test_a_forkserver_that_hangs_is_replaced() -> None:
    known = {process.pid for process in starters()}
    with closing(IsolatedCodecs(FRAME_BYTES, FRAME_BYTES, 5.0)) as codecs:
        codecs.start()
        (starter,) = [process for process in starters() if process.pid not in known]
        starter.suspend()
        with pytest.raises(CodecProcessError, match="no process can be started for a codec: timed out"):
            codecs.encoder(EncoderSettings("libx264"))
        with closing(codecs.encoder(EncoderSettings("libx264"))) as encoder:
            assert len(encoder.push(frames(1)[0]) + encoder.flush()) == 1


def test_a_stage_that_is_never_closed_leaves_nothing(codecs: IsolatedCodecs) -> None:
    codecs.start()
    gc.collect()  # what tests before this one held
    before = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the socket
        for _ in range(10):
            codecs.encoder(EncoderSettings("libx264"))
        gc.collect()
    assert eventually(lambda: not codec_processes())
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_system_without_memfd_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    codecs = IsolatedCodecs(FRAME_BYTES, FRAME_BYTES, 1.0)
    with pytest.raises(ConfigError, match="choose --codec-isolation none"):
        codecs.start()


def test_interrupt_ends_a_call_of_another_thread(codecs: IsolatedCodecs) -> None:
    encoder = codecs.encoder(EncoderSettings("libx264"))
    (process,) = codec_processes()
    process.suspend()
    errors: list[Exception] = []

    def push() -> None:
        try:
            encoder.push(frames(1)[0])
        except EncoderDiedError as error:
            errors.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    encoder.interrupt()
    thread.join(10)
    assert len(errors) == 1
    encoder.close()


def test_memory_is_limited(codecs: IsolatedCodecs) -> None:
    """A packet that is nothing but start codes costs FFmpeg 4 kB for each: 12 GB, were it not stopped."""
    settings = DecoderSettings("h264", Fraction(1, 50), max_pixels=96 * 64, pixels=1 << 24, max_packet_units=1 << 30)
    decoder = codecs.decoder(settings, "")
    (process,) = codec_processes()
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=lambda: _ignore_gone(watch))
    watcher.start()
    with pytest.raises((DecoderDiedError, MediaDataError)):
        list(decoder.push(Packet(b"\0\0\1\x67" * (3 << 20))))
    decoder.close()
    watcher.join(20)
    assert 0 < peak < 800 << 20


def _ignore_gone(watch: Any) -> None:
    try:
        watch()
    except psutil.NoSuchProcess:
        return


def test_a_dead_forkserver_is_replaced(codecs: IsolatedCodecs) -> None:
    starter = next(p for p in psutil.Process().children() if any("forkserver" in part for part in p.cmdline()))
    stage = codecs.decoder(DecoderSettings("h264", Fraction(1, 50)), "")
    starter.kill()
    starter.wait(10)
    with pytest.raises(DecoderDiedError):  # it ends with what started it
        list(stage.push(Packet(b"\0\0\1\x67")))
    stage.close()
    assert (
        len(decoded(codecs.decoder(DecoderSettings("h264", Fraction(1, 50)), ""), packets_of("libx264", frames(3))))
        == 3
    )


def test_nothing_is_left_of_many_streams(codecs: IsolatedCodecs) -> None:
    def cycle() -> None:
        decoded(codecs.decoder(DecoderSettings("h264", Fraction(1, 50), max_pixels=96 * 64), ""), packets)

    packets = packets_of("libx264", frames(3))
    cycle()
    assert eventually(lambda: not codec_processes())
    gc.collect()  # what tests before this one held
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        cycle()
    assert eventually(lambda: not codec_processes())
    assert len(os.listdir("/proc/self/fd")) <= descriptors


# ---- through gRPC


def coded_output() -> pb.EncodedOutput:
    """Encode with x264."""
    return pb.EncodedOutput(codec="libx264", options={"preset": "ultrafast"})


async def good_stream(stub: Stub) -> Outcome:
    """Packets in, packets out."""
    clip = encode("h264")
    return await upscale(stub, [clip.config(encoded_output=coded_output()), *clip.requests()])


async def test_streams_are_the_same_through_grpc() -> None:
    async with running() as server, stub_of(server) as stub:
        expected = await good_stream(stub)
    async with running(codec_isolation=CodecIsolation.PROCESS) as server, stub_of(server) as stub:
        actual = await good_stream(stub)
    assert actual.code is grpc.StatusCode.OK
    assert len(actual.packets) == 12
    assert [p.data for p in actual.packets] == [p.data for p in expected.packets]


@pytest.mark.parametrize(("encodes", "code"), [(False, grpc.StatusCode.DATA_LOSS), (True, grpc.StatusCode.INTERNAL)])
async def test_a_crash_ends_its_own_stream_only(*, encodes: bool, code: grpc.StatusCode) -> None:
    clip = encode("h264")
    async with running(codec_isolation=CodecIsolation.PROCESS) as server, stub_of(server) as stub:
        call = stub.Upscale()
        if encodes:
            config, request = raw_config(encoded_output=coded_output()), raw_frame(0)
        else:
            config, request = clip.config(), clip.requests()[0]
        await call.write(config)
        assert (await call.read()).WhichOneof("payload") == "negotiated"
        (process,) = codec_processes()
        good = asyncio.create_task(good_stream(stub))
        process.send_signal(signal.SIGSEGV)
        await call.write(request)
        await call.done_writing()
        assert await call.code() is code
        assert "crashed" in await call.details()
        outcome = await good
        assert (outcome.code, len(outcome.packets)) == (grpc.StatusCode.OK, 12)
        assert await comes_true(lambda: not codec_processes())


async def test_a_decoder_that_hangs_holds_no_worker() -> None:
    clip = encode("h264")
    quick = {"scheduler": SchedulerSettings(workers=1), "codec_isolation": CodecIsolation.PROCESS}
    async with running(**quick) as server, stub_of(server) as stub:
        call = stub.Upscale()
        await call.write(clip.config())
        await call.read()
        (process,) = codec_processes()
        process.suspend()
        await call.write(clip.requests()[0])
        outcome = await asyncio.wait_for(upscale(stub, [raw_config(), *map(raw_frame, range(5))]), 15)
        assert len(outcome.frames) == 5
        call.cancel()
        assert await comes_true(lambda: not codec_processes())


async def test_cancelling_ends_a_process_that_hangs() -> None:
    async with running(codec_isolation=CodecIsolation.PROCESS) as server, stub_of(server) as stub:
        call = stub.Upscale()
        await call.write(raw_config(encoded_output=coded_output()))
        await call.read()
        (process,) = codec_processes()
        process.suspend()
        await call.write(raw_frame(0))
        call.cancel()
        assert await comes_true(lambda: not codec_processes())
        assert await comes_true(lambda: not server.scheduler.active)


async def test_100_crashes_cost_other_streams_nothing() -> None:
    """Decoders crash one after the other; a lossless stream and what the server holds stay as they were."""
    clip = encode("h264")
    async with running(codec_isolation=CodecIsolation.PROCESS) as server, stub_of(server) as stub:

        async def crash() -> None:
            call = stub.Upscale()
            await call.write(clip.config())
            await call.read()
            (process,) = codec_processes()
            process.send_signal(signal.SIGSEGV)
            await call.write(clip.requests()[0])
            assert await call.code() is grpc.StatusCode.DATA_LOSS

        await crash()  # connects the channel
        assert await comes_true(lambda: not codec_processes())
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        crashed = asyncio.Event()

        async def stream_frames() -> tuple[int, Any]:
            call, count = stub.Upscale(), 0
            await call.write(raw_config())
            await call.read()
            while not crashed.is_set():
                await call.write(raw_frame(count))
                assert (await call.read()).frame.sequence == count
                count += 1
            await call.done_writing()
            return count, (await call.read()).statistics

        others = asyncio.create_task(stream_frames())
        for _ in range(100):
            await crash()
        crashed.set()
        count, statistics = await others
        assert (statistics.frames_in, statistics.frames_out) == (count, count)
        assert count > 100
        assert await comes_true(lambda: not codec_processes())
        assert await comes_true(lambda: len(os.listdir("/proc/self/fd")) <= before[0])
        # Two pools have a thread for each stream that ran at the same time.
        assert threading.active_count() <= before[1] + 3
