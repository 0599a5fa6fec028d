"""What the log says of each stream."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import SchedulerSettings
from tests.support.calls import raw_config, raw_frame, stub_of, upscale
from tests.support.media import encode
from tests.support.server import running


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "esr_server")
    return caplog


def _lines(log: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """Messages, each with its stream's id."""
    return [(record.getMessage(), getattr(record, "stream_id", None)) for record in log.records]


async def test_a_stream_has_a_line_for_its_start_and_its_end(log: pytest.LogCaptureFixture) -> None:
    rate = pb.Rational(num=30000, den=1001)
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(target_fps=rate), *map(raw_frame, range(3))])
    assert outcome.negotiated is not None
    name = outcome.negotiated.stream_id
    (start, first), (end, last) = _lines(log)
    assert first == last == name
    assert start.startswith(f"stream {name} of ipv4:127.0.0.1:")
    assert start.endswith("starts: bicubic_x2, frames 16x12 to frames at x2, 29.97 fps, lossless")
    assert end.startswith(f"stream {name} finished: 3 frames in, 3 out, 0 dropped, 0 changes of model, ")


async def test_a_stream_of_packets(log: pytest.LogCaptureFixture) -> None:
    media = encode("h264")
    output = pb.EncodedOutput(codec="libx264", options={"preset": "ultrafast"})
    async with running() as server, stub_of(server) as stub:
        delivery = pb.Delivery(policy=pb.DELIVERY_POLICY_DEADLINE, deadline_s=5)
        await upscale(stub, [media.config(encoded_output=output, delivery=delivery), *media.requests()])
    assert "h264 of unknown size to libx264 at x2, no rate, deadline of 5 s" in _lines(log)[0][0]


async def test_a_failed_stream_says_why(log: pytest.LogCaptureFixture) -> None:
    async with running() as server, stub_of(server) as stub:
        await upscale(stub, [raw_config(), raw_frame(0), raw_frame(7)])
    end = _lines(log)[-1][0]
    assert "failed (sequence counts from 0 without gaps: 1 was next, not 7): 1 frames in, 1 out" in end


async def test_a_cancelled_stream(log: pytest.LogCaptureFixture) -> None:
    async with running() as server, stub_of(server) as stub:
        call = stub.Upscale()
        await call.write(raw_config())
        await call.read()
        call.cancel()
    assert " cancelled: 0 frames in" in _lines(log)[-1][0]


async def test_a_refused_stream(log: pytest.LogCaptureFixture) -> None:
    async with running(scheduler=SchedulerSettings(max_streams=1)) as server, stub_of(server) as stub:
        first = stub.Upscale()
        await first.write(raw_config())
        await first.read()
        refused = await upscale(stub, [raw_config()])
        first.cancel()
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert any("is refused: all 1 streams of this server are taken" in line for line, _ in _lines(log))
