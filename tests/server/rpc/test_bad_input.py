"""Bad input: a status, a message that says what would be right, and no other stream loses a frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import Limits, SchedulerSettings
from esr_upscale.frame import Frame
from esr_upscale.models import Source
from esr_upscale.plane_kernel import PlaneAllocator, own_memory
from esr_upscale.upscaler import Upscaled, Upscaler
from tests.support.calls import Outcome, raw_config, raw_frame, stub_of, upscale
from tests.support.server import running
from tests.support.waiting import comes_true

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def _plane_of(length: int | None = None, stride: int | None = None) -> pb.UpscaleRequest:
    request = raw_frame(1)
    plane = request.frame.planes[0]
    plane.data = bytes(length if length is not None else len(plane.data))
    plane.stride = plane.stride if stride is None else stride
    return request


def _sized(width: int, height: int) -> pb.UpscaleRequest:
    fmt = pb.VideoFormat(width=width, height=height, pixel_format="yuv420p")
    return raw_frame(1, format=fmt)


def _time_base(num: int, den: int) -> pb.UpscaleRequest:
    request = raw_config()
    request.config.raw_input.time_base.CopyFrom(pb.Rational(num=num, den=den))
    return request


def _shaped(num: int, den: int) -> pb.UpscaleRequest:
    request = raw_config()
    request.config.raw_input.format.sample_aspect_ratio.CopyFrom(pb.Rational(num=num, den=den))
    return request


def _colored(**values: Any) -> pb.UpscaleRequest:
    request = raw_config()
    request.config.raw_input.format.color.CopyFrom(pb.Color(**values))
    return request


def _encoder(codec: str, num: int = 0, den: int = 0, **options: str) -> Callable[[], pb.UpscaleRequest]:
    output = pb.EncodedOutput(codec=codec, options=options, frame_rate=pb.Rational(num=num, den=den))
    return lambda: raw_config(64, 48, encoded_output=output)


def _vp9_in(num: int, den: int) -> pb.UpscaleRequest:
    request = _encoder("libvpx-vp9")()
    request.config.raw_input.time_base.CopyFrom(pb.Rational(num=num, den=den))
    return request


def _endless_packet() -> pb.UpscaleRequest:
    return pb.UpscaleRequest(packet=pb.Packet(data=b"x", duration=2**63 - 1))


def _codec(**values: Any) -> pb.UpscaleRequest:
    encoded = pb.EncodedInput(time_base=pb.Rational(num=1, den=25), **values)
    return pb.UpscaleRequest(config=pb.UpscaleConfig(model="bicubic_x2", encoded_input=encoded))


@dataclass(frozen=True)
class Case:
    """Requests, how many frames come back all the same, and how the stream ends."""

    requests: tuple[Callable[[], pb.UpscaleRequest], ...]
    code: grpc.StatusCode
    says: tuple[str, ...]
    frames: int = 0


def _config(**values: Any) -> Callable[[], pb.UpscaleRequest]:
    return lambda: raw_config(**values)


def _frame(sequence: int, **values: Any) -> Callable[[], pb.UpscaleRequest]:
    return lambda: raw_frame(sequence, **values)


GOOD = (_config(), _frame(0))

CASES = {
    "no request": Case((), PRECONDITION, ("first request is its config", "this stream has none")),
    "empty request": Case((pb.UpscaleRequest,), PRECONDITION, ("first request is its config",)),
    "frame before config": Case((_frame(0),), PRECONDITION, ("first request is its config, not a frame",)),
    "second config": Case((*GOOD, _config()), PRECONDITION, ("not a second config", "new stream"), 1),
    "empty request later": Case((*GOOD, pb.UpscaleRequest), PRECONDITION, ("without payload",), 1),
    "unknown model": Case(
        (_config(model="esr_tr_x8"),), grpc.StatusCode.NOT_FOUND, ("esr_tr_x8", "did you mean", "esr_tr_x")
    ),
    "model without weights": Case(
        (_config(model="esr_tr_x2_k7_c7"),), grpc.StatusCode.NOT_FOUND, ("esr_tr_x2_k7_c7", "esr_tr_x2_k5_c2")
    ),
    "no input": Case(
        (lambda: pb.UpscaleRequest(config=pb.UpscaleConfig(model="bicubic_x2")),),
        PRECONDITION,
        ("raw_input or encoded_input",),
    ),
    "time base of zero": Case((lambda: _time_base(0, 25),), INVALID, ("1/90000, not 0/25",)),
    "negative time base": Case((lambda: _time_base(1, -25),), INVALID, ("1/90000, not 1/-25",)),
    "aspect ratio with a negative den": Case(
        (lambda: _shaped(1, -(2**31)),), INVALID, ("sample_aspect_ratio must be", "4/3, not 1/-2147483648")
    ),
    "negative aspect ratio in mid-stream": Case(
        (*GOOD, _frame(1, format=_shaped(-4, 3).config.raw_input.format)), INVALID, ("positive ratio", "not -4/3"), 1
    ),
    "frame rate with a negative den": Case(
        (_encoder("libx264", 25, -(2**31)),), INVALID, ("frame_rate must be a positive", "30000/1001, not 25/-")
    ),
    "negative frame rate": Case((_encoder("libx264", -25, 1),), INVALID, ("30000/1001, not -25/1",)),
    "negative target_fps": Case(
        (_config(target_fps=pb.Rational(num=25, den=-1)),), INVALID, ("target_fps must be", "not 25/-1")
    ),
    "code point of two bytes": Case(
        (lambda: _colored(primaries=256),), INVALID, ("primaries of a colour", "from 0 to 255, not 256")
    ),
    "pts that is FFmpeg's unknown": Case(
        (*GOOD, _frame(1, pts=-(2**63))), INVALID, ("pts of frame 1 must be from -46116", "leave it out"), 1
    ),
    "duration that cannot be added": Case(
        (*GOOD, _frame(1, duration=2**62)), INVALID, ("from 0 to 4611686018427387903, not 4611686018427387904",), 1
    ),
    "negative duration": Case((*GOOD, _frame(1, duration=-1)), INVALID, ("duration of frame 1", "not -1"), 1),
    "packet of endless duration": Case(
        (lambda: _codec(codec="h264"), _endless_packet), INVALID, ("duration of packet 0 must be from 0 to",)
    ),
    "threads of libx265": Case((_encoder("libx265", threads="64"),), INVALID, ("a whole number from 1 to 16",)),
    "options of libx265 that do not go together": Case(
        (_encoder("libx265", preset="ultrafast", bf="16"),), INVALID, ("libx265 refuses the options", "crf")
    ),
    "preset that is not real time": Case(
        (_encoder("libsvtav1", preset="-1"),),
        INVALID,
        ("from 2 to 13 (lower ones are too slow for a stream), not '-1'",),
    ),
    "time base that VP9 cannot count in": Case(
        (lambda: _vp9_in(1, 2**31 - 1),), INVALID, ("libvpx-vp9 takes time bases from 1/1000000000", "1/90000")
    ),
    "unsupported pixel format": Case(
        (_config(pixel_format="yuv411p"),), INVALID, ("'yuv411p' is not supported", "yuv420p10le")
    ),
    "no pixel format": Case((_config(pixel_format=""),), INVALID, ("'' is not supported",)),
    "width of zero": Case((_config(width=0),), INVALID, ("at least 1x1, not 0x12",)),
    "height of zero": Case((_config(height=0),), INVALID, ("at least 1x1, not 16x0",)),
    "over the limit": Case((_config(width=2000, height=2000),), INVALID, ("4000000 pixels", "at most 1000000")),
    "output over the limit": Case(
        (_config(width=900, height=900, model="bicubic_x4"),), INVALID, ("at x4 makes 12960000", "smaller scale")
    ),
    "plane too short": Case((*GOOD, lambda: _plane_of(191)), INVALID, ("plane 0", "has 192 bytes, not 191"), 1),
    "plane too long": Case((*GOOD, lambda: _plane_of(193)), INVALID, ("has 192 bytes, not 193",), 1),
    "stride less than width": Case((*GOOD, lambda: _plane_of(stride=15)), INVALID, ("at least 16 bytes, not 15",), 1),
    "no planes": Case((*GOOD, _frame(1, planes=[])), INVALID, ("3 planes, the frame has 0",), 1),
    "size of zero in mid-stream": Case((*GOOD, lambda: _sized(0, 12)), INVALID, ("not 0x12",), 1),
    "size over the limit in mid-stream": Case((*GOOD, lambda: _sized(9000, 9000)), INVALID, ("81000000 pixels",), 1),
    "a number left out": Case((*GOOD, _frame(2)), PRECONDITION, ("1 was next, not 2",), 1),
    "packet where frames were announced": Case(
        (*GOOD, lambda: pb.UpscaleRequest(packet=pb.Packet(data=b"x"))), PRECONDITION, ("announced raw frames",), 1
    ),
    "interlaced": Case((*GOOD, _frame(1, interlaced=True)), INVALID, ("interlaced", "bwdif"), 1),
    "unknown deinterlacer": Case((_config(deinterlace="yadif"),), INVALID, ("yadif", "bwdif")),
    "decoder not allowed": Case((lambda: _codec(codec="wmv3"),), INVALID, ("wmv3", "h264")),
    "no codec": Case((lambda: _codec(codec=""),), INVALID, ("h264",)),
    "encoder not allowed": Case(
        (_config(encoded_output=pb.EncodedOutput(codec="rawvideo")),), INVALID, ("rawvideo", "libx264")
    ),
    "encoder option not allowed": Case(
        (_config(encoded_output=pb.EncodedOutput(codec="libx264", options={"stats": "/etc/passwd"})),),
        INVALID,
        ("stats", "crf"),
    ),
}


@pytest.mark.parametrize("ratio", [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)], ids=str)
async def test_a_ratio_of_zero_is_unknown(ratio: tuple[int, int]) -> None:
    request = _encoder("libx264", *ratio)()
    request.config.raw_input.format.sample_aspect_ratio.CopyFrom(pb.Rational(num=ratio[0], den=ratio[1]))
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [request, raw_frame(0, 64, 48)])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert outcome.negotiated is not None
    assert outcome.negotiated.output_format.sample_aspect_ratio == pb.Rational()


def _steady() -> list[pb.UpscaleRequest]:
    return [raw_config(64, 48), *(raw_frame(i, 64, 48) for i in range(12))]


@pytest.mark.parametrize("name", CASES)
async def test_a_clear_error_and_no_loss_for_others(name: str) -> None:
    case = CASES[name]
    limits = Limits(max_pixels=1_000_000, max_output_pixels=4_000_000)
    async with running(limits=limits) as server, stub_of(server) as stub:
        bad, neighbour = await asyncio.gather(
            upscale(stub, [make() for make in case.requests]), upscale(stub, _steady())
        )
    assert bad.code is case.code, bad.details
    for words in case.says:
        assert words in bad.details
    assert len(bad.frames) == case.frames
    assert bad.statistics is None
    _assert_whole(neighbour)


def _assert_whole(outcome: Outcome) -> None:
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    assert [frame.sequence for frame in outcome.frames] == list(range(12))


async def test_a_message_over_the_limit() -> None:
    limits = Limits(max_pixels=100 * 100, max_packet_bytes=1)
    async with running(limits=limits) as server, stub_of(server) as stub:
        huge = raw_frame(1, planes=[pb.Plane(data=bytes(200_000), stride=1)])
        bad, neighbour = await asyncio.gather(
            upscale(stub, [raw_config(), raw_frame(0), huge]), upscale(stub, _steady())
        )
    assert bad.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in bad.details
    _assert_whole(neighbour)


async def test_a_config_that_never_comes() -> None:
    async with running(config_timeout_s=0.2) as server, stub_of(server) as stub:
        call = stub.Upscale()
        with pytest.raises(grpc.aio.AioRpcError) as error_info:
            await call.read()
    assert error_info.value.code() is PRECONDITION
    assert "none came in 0.2 s" in str(error_info.value.details())


async def test_a_client_that_goes_away() -> None:
    async with running() as server, stub_of(server) as stub:
        neighbour = asyncio.create_task(upscale(stub, _steady()))
        call = stub.Upscale()
        for request in (raw_config(), raw_frame(0)):
            await call.write(request)
        await call.read()
        call.cancel()
        _assert_whole(await neighbour)
        assert await comes_true(lambda: server.scheduler.active == 0)
        assert server.metrics.registry.get_sample_value("esr_streams_total", {"outcome": "cancelled"}) == 1


async def test_a_deadline_that_passes() -> None:
    async with running() as server, stub_of(server) as stub:
        neighbour = asyncio.create_task(upscale(stub, _steady()))
        call = stub.Upscale(timeout=0.3)
        await call.write(raw_config())
        await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as error_info:
            await call.read()
        assert error_info.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        _assert_whole(await neighbour)
        assert await comes_true(lambda: server.scheduler.active == 0)


async def test_more_streams_than_there_are_places() -> None:
    async with running(scheduler=SchedulerSettings(max_streams=1)) as server, stub_of(server) as stub:
        first = stub.Upscale()
        await first.write(raw_config())
        await first.read()
        refusal = await upscale(stub, [raw_config()])
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "all 1 streams" in refusal.details
        await first.write(raw_frame(0))
        assert (await first.read()).frame.sequence == 0
        first.cancel()
        assert server.metrics.registry.get_sample_value("esr_streams_total", {"outcome": "refused"}) == 1


class DyingUpscaler:
    """A test double for a stage that fails: the real upscaler until a pts, then a fault that nobody foresaw."""

    def __init__(self, real: Upscaler, dies_at_pts: int, error: BaseException) -> None:
        self.scale = real.scale
        self._real, self._dies_at_pts, self._error = real, dies_at_pts, error

    def __call__(
        self, frame: Frame, memory: PlaneAllocator = own_memory, concurrency: int = 1, source: Source | None = None
    ) -> Upscaled:
        if frame.pts == self._dies_at_pts:
            raise self._error
        return self._real(frame, memory, concurrency, source)


@pytest.mark.parametrize("error", [RuntimeError("secret"), SystemExit(1)], ids=repr)
async def test_a_stage_that_dies_leaves_nobody_waiting(error: BaseException) -> None:
    async with running() as server, stub_of(server) as stub:
        model = server.models.get("bicubic_x4").model
        model.upscaler = DyingUpscaler(model.upscaler, 7, error)  # type: ignore[assignment]
        dying = upscale(stub, [raw_config(model="bicubic_x4"), *map(raw_frame, range(20))])
        bad, neighbour = await asyncio.wait_for(asyncio.gather(dying, upscale(stub, _steady())), 20)
        failures = server.metrics.registry.get_sample_value(
            "esr_frames_total", {"model": "bicubic_x4", "outcome": "failed"}
        )
    assert bad.code is grpc.StatusCode.INTERNAL
    assert "secret" not in bad.details
    assert [frame.pts for frame in bad.frames] == [1, 3, 5]
    assert failures in (1, 2, 3, 4)  # the one that died, and those that were handed out with it
    _assert_whole(neighbour)
