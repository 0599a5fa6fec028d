"""What the log says of each stream."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import SchedulerSettings
from esr_server.telemetry import logs
from esr_server.telemetry.logs import ContextFilter, LogFormat
from tests.support.calls import raw_config, raw_frame, stub_of, upscale
from tests.support.media import encode
from tests.support.server import running


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "esr_server")
    caplog.handler.addFilter(ContextFilter())
    return caplog


def _lines(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Messages, each with what is behind it in a line."""
    return [(record.getMessage(), vars(record)["context"]) for record in log.records]


async def test_a_stream_has_a_line_for_its_start_and_its_end(log: pytest.LogCaptureFixture) -> None:
    rate = pb.Rational(num=30000, den=1001)
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(target_fps=rate), *map(raw_frame, range(3))])
    assert outcome.negotiated is not None
    (start, first), (end, last) = _lines(log)
    assert first == last
    assert re.fullmatch(
        rf" \[peer=ipv4:127\.0\.0\.1:\d+ stream_id={outcome.negotiated.stream_id} model=bicubic_x2\]", first
    )
    assert start == "stream starts: frames 16x12 to frames at x2, 29.97 fps, lossless"
    assert end.startswith("stream finished: 3 frames in, 3 out, 0 dropped, 0 changes of model, ")


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
    assert "stream cancelled: 0 frames in" in _lines(log)[-1][0]


async def test_a_refused_stream(log: pytest.LogCaptureFixture) -> None:
    async with running(scheduler=SchedulerSettings(max_streams=1)) as server, stub_of(server) as stub:
        first = stub.Upscale()
        await first.write(raw_config())
        await first.read()
        refusal = await upscale(stub, [raw_config()])
        first.cancel()
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert any(line.startswith("stream refused: all 1 streams of this server are in use") for line, _ in _lines(log))


async def test_an_unexpected_error_names_its_stream(log: pytest.LogCaptureFixture) -> None:
    async with running() as server, stub_of(server) as stub:
        model = server.models.get("bicubic_x2").model
        broken = BrokenUpscaler(model.upscaler.scale)
        model.upscaler = broken  # type: ignore[assignment]
        outcome = await upscale(stub, [raw_config(model="bicubic_x2"), raw_frame(0)])
    assert (outcome.code, outcome.details) == (
        grpc.StatusCode.INTERNAL,
        "internal error; the server's log has the details",
    )
    record = log.records[-1]
    assert record.exc_info is not None
    assert record.getMessage() == "an unexpected error ended the call"
    fields = vars(record)
    assert fields["peer"].startswith("ipv4:127.0.0.1:")
    assert (len(fields["stream_id"]), fields["model"]) == (16, "bicubic_x2")


class BrokenUpscaler:
    """A test double for a model with a fault of ours in it."""

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, *_: object) -> None:
        raise ZeroDivisionError("a fault of ours")


@contextmanager
def _root_logger() -> Iterator[None]:
    """The root logger without handlers, those of pytest too, put right again at the end."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)


async def test_a_client_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with _root_logger():
        logs.configure("INFO", LogFormat.TEXT)
        logs.bind(model="x\n2026-01-01 INFO esr_server: all is well")
        logging.getLogger("esr_server.test").info("no model is named %s", "y\r\x1b[2K")
        logging.getLogger("esr_server.test").error("failed", exc_info=ValueError("z\n2026-01-01 INFO all is well"))
    line, _, *traceback = capsys.readouterr().err.splitlines()
    assert line.endswith('no model is named y\\r\\x1b[2K [model="x\\n2026-01-01 INFO esr_server: all is well"]')
    assert traceback == ["    ValueError: z", "    2026-01-01 INFO all is well"]


async def test_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with _root_logger():
        logs.configure("INFO", LogFormat.JSON)
        logs.bind(stream_id="0123", model="größe")
        logging.getLogger("esr_server.test").info("stream %s", "starts")
    line = json.loads(capsys.readouterr().err)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.pop("time"))
    assert line == {
        "level": "INFO",
        "logger": "esr_server.test",
        "message": "stream starts",
        "stream_id": "0123",
        "model": "größe",
    }
