"""Packets in and packets out, through the real decoders and encoders."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import av
import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import Limits
from tests.support.calls import Outcome, Stub, raw_config, raw_frame, stub_of, upscale
from tests.support.media import ENCODERS, Elementary, encode
from tests.support.server import running

X264 = pb.EncodedOutput(codec="libx264", options={"preset": "ultrafast", "crf": "20"}, global_header=True)
VFR = (0, 1, 5, 6, 30, 31, 90, 91, 92, 200)


def _pts(items: Any) -> list[int | None]:
    return [item.pts if item.HasField("pts") else None for item in items]


@pytest.mark.parametrize("codec", ENCODERS)
async def test_every_decoder_of_the_allow_list(codec: str) -> None:
    media = encode(codec)
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [media.config(), *media.requests()])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert _pts(outcome.frames) == list(media.pts)
    assert [frame.sequence for frame in outcome.frames] == list(range(12))
    assert (outcome.frames[0].format.width, outcome.frames[0].format.height) == (128, 96)
    assert outcome.statistics is not None
    assert (outcome.statistics.packets_in, outcome.statistics.frames_out) == (12, 12)
    assert all(frame.stages.decode > 0 for frame in outcome.frames)


async def test_variable_rate_b_frames_gaps_negative_times() -> None:
    media = encode("h264", pts=[p - 40 for p in VFR], bf="3", time_base=Fraction(1, 90000))
    assert [p.pts for p in media.packets] != sorted(p.pts for p in media.packets), "no B-frames were made"
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [media.config(), *media.requests()])
    assert _pts(outcome.frames) == [p - 40 for p in VFR]


async def test_packets_out_have_every_pts_and_play() -> None:
    async with running() as server, stub_of(server) as stub:
        frames = [raw_frame(i, 64, 48, pts=p) for i, p in enumerate(VFR)]
        outcome = await upscale(stub, [raw_config(64, 48, encoded_output=X264), *frames])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert sorted(p.pts for p in outcome.packets) == list(VFR)
    assert outcome.packets[0].new_extradata
    assert not any(p.new_extradata for p in outcome.packets[1:])
    assert sorted(p.sequence for p in outcome.packets) == list(range(10))
    assert outcome.statistics is not None
    assert (outcome.statistics.frames_in, outcome.statistics.packets_out) == (10, 10)
    assert outcome.statistics.stages.encode > 0
    _assert_plays(outcome, (128, 96), VFR)


def _assert_plays(outcome: Outcome, size: tuple[int, int], pts: tuple[int, ...]) -> None:
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.extradata = outcome.packets[0].new_extradata
    frames = []
    for message in outcome.packets:
        packet = av.Packet(message.data)
        packet.pts, packet.dts, packet.time_base = message.pts, message.dts, Fraction(1, 25)
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    assert [frame.pts for frame in frames] == list(pts)
    assert {(frame.width, frame.height) for frame in frames} == {size}


async def test_packets_in_and_packets_out() -> None:
    media = encode("vp9")
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [media.config(encoded_output=X264), *media.requests()])
    assert sorted(_pts(outcome.packets)) == list(media.pts)  # type: ignore[type-var]


async def test_a_size_change_in_mid_stream_is_followed() -> None:
    small, large = encode("h264", size=(64, 48), pts=range(4)), encode("h264", size=(96, 64), pts=range(4, 8))
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [small.config(), *_joined(small, large)])
    formats = [(f.format.width, f.format.height) if f.HasField("format") else None for f in outcome.frames]
    assert formats == [(128, 96), None, None, None, (192, 128), None, None, None]
    assert _pts(outcome.frames) == list(range(8))


async def _upscale_with_neighbour(stub: Stub, requests: list[pb.UpscaleRequest]) -> Outcome:
    """What comes of a stream while a second one runs, which must lose nothing."""
    good = encode("vp9")
    bad, neighbour = await asyncio.gather(upscale(stub, requests), upscale(stub, [good.config(), *good.requests()]))
    assert neighbour.code is grpc.StatusCode.OK, neighbour.details
    assert _pts(neighbour.frames) == list(good.pts)
    return bad


async def test_a_size_change_is_refused_for_encoded_output() -> None:
    small, large = encode("h264", size=(64, 48), pts=range(4)), encode("h264", size=(96, 64), pts=range(4, 8))
    async with running() as server, stub_of(server) as stub:
        outcome = await _upscale_with_neighbour(stub, [small.config(encoded_output=X264), *_joined(small, large)])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "192x128" in outcome.details
    assert "128x96" in outcome.details


def _joined(*parts: Elementary) -> list[pb.UpscaleRequest]:
    """Streams one after the other; each new one brings its headers along."""
    packets: list[pb.UpscaleRequest] = []
    for part in parts:
        for index, packet in enumerate(part.packets):
            copy = pb.Packet()
            copy.CopyFrom(packet)
            copy.sequence = len(packets)
            copy.new_extradata = part.extradata if index == 0 else b""
            packets.append(pb.UpscaleRequest(packet=copy))
    return packets


def _damaged(media: Elementary, index: int) -> list[pb.UpscaleRequest]:
    requests = [pb.UpscaleRequest.FromString(r.SerializeToString()) for r in media.requests()]
    requests[index].packet.data = b"\x00\x00\x01\xff" * 8
    return requests


async def test_good_frames_come_before_an_undecodable_packet() -> None:
    media = encode("vp9")
    async with running() as server, stub_of(server) as stub:
        bad = await _upscale_with_neighbour(stub, [media.config(), *_damaged(media, 5)])
    assert bad.code is grpc.StatusCode.DATA_LOSS
    assert "5" in bad.details
    assert _pts(bad.frames) == list(range(5))


async def test_an_undecodable_packet_is_skipped_on_request() -> None:
    media = encode("mjpeg")
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [media.config(skip=True), *_damaged(media, 5)])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert _pts(outcome.frames) == [i for i in range(12) if i != 5]
    assert outcome.statistics is not None
    assert outcome.statistics.packets_skipped == 1


async def test_a_cut_packet_gives_a_corrupt_frame() -> None:
    # Key frames of noise: half of a packet of a few bytes, all blocks skipped, may decode without a fault.
    media = encode("h264", bf="0", g="1", gray=_noise)
    requests = [pb.UpscaleRequest.FromString(r.SerializeToString()) for r in media.requests()[:6]]
    requests[5].packet.data = requests[5].packet.data[: len(requests[5].packet.data) // 2]
    async with running() as server, stub_of(server) as stub:
        outcome = await _upscale_with_neighbour(stub, [media.config(), *requests])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert _pts(outcome.frames) == list(range(6))
    assert [frame.corrupt for frame in outcome.frames] == [False] * 5 + [True]


def _noise(index: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (48, 64), np.uint8)


async def test_the_limit_is_of_the_real_picture() -> None:
    media = encode("h264", size=(640, 480), pts=range(2))
    request = media.config()
    request.config.encoded_input.format.CopyFrom(pb.VideoFormat(width=16, height=16, pixel_format="yuv420p"))
    async with running(limits=Limits(max_pixels=320 * 240)) as server, stub_of(server) as stub:
        outcome = await _upscale_with_neighbour(stub, [request, *media.requests()])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT, outcome.details
    assert "640x480" in outcome.details


async def test_extradata_that_is_none() -> None:
    media = encode("h264")
    request = media.config()
    request.config.encoded_input.extradata = b"\x01\x64garbage"
    async with running() as server, stub_of(server) as stub:
        outcome = await _upscale_with_neighbour(stub, [request, *media.requests()])
    assert outcome.code is grpc.StatusCode.DATA_LOSS
    assert "packet 0" in outcome.details
    assert "cannot be decoded as h264" in outcome.details


async def test_interlaced_is_refused_or_deinterlaced() -> None:
    media = encode("mpeg2video", interlaced=True, pts=range(6), bf="0")
    async with running() as server, stub_of(server) as stub:
        refusal = await _upscale_with_neighbour(stub, [media.config(), *media.requests()])
        outcome = await upscale(stub, [media.config(deinterlace="bwdif"), *media.requests()])
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "bwdif" in refusal.details
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert _pts(outcome.frames) == list(range(6))
    assert not any(frame.interlaced for frame in outcome.frames)


@pytest.mark.parametrize("name", ["yuv420p10le", "yuv444p"])
async def test_depth_and_chroma_survive_decoding(name: str) -> None:
    media = encode("h264", pixel_format=name, pts=range(3))
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [media.config(), *media.requests()])
    assert outcome.frames[0].format.pixel_format == name
    assert len(outcome.frames) == 3
