"""The least and the largest number in every numeric field of the contract: a status, never a fault of the server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import Limits
from tests.support.calls import Outcome, Stub, raw_config, raw_frame, stub_of, upscale
from tests.support.media import encode
from tests.support.server import running

FAULTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)
TIMEOUT_S = 30.0
SIDE = 64
LIMITS = Limits(max_pixels=1_000_000, max_output_pixels=4_000_000)

_INT32 = (-(2**31), -1, 0, 1, 2**31 - 1)
_FLOATS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 5e-324)
VALUES: dict[int, tuple[float, ...]] = {
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_ENUM: _INT32,
    FieldDescriptor.TYPE_UINT32: (0, 1, 2**31, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), -(2**63) + 1, -(2**62), -1, 0, 2**62 - 1, 2**62, 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 1, 2**63, 2**64 - 1),
    FieldDescriptor.TYPE_FLOAT: (*_FLOATS, 3.4e38),
    FieldDescriptor.TYPE_DOUBLE: (*_FLOATS, 1.7e308),
}


def _paths(descriptor: Any) -> Iterator[tuple[str, ...]]:
    """Every numeric field of a message and of those in it. Of oneofs, other members than the base's are left out."""
    for field in descriptor.fields:
        if field.type in VALUES:
            yield (field.name,)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from ((field.name, *path) for path in _paths(field.message_type))


def _set(message: Any, path: tuple[str, ...], value: float) -> None:
    """Set a field; of repeated ones the first element."""
    name, *rest = path
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        items = getattr(message, name)
        if not rest:
            items.append(value)
        else:
            _set(items[0] if items else items.add(), tuple(rest), value)
    elif rest:
        _set(getattr(message, name), tuple(rest), value)
    else:
        setattr(message, name, value)


def _is_of_base(message: Message, path: tuple[str, ...]) -> bool:
    """Return whether setting the field keeps what each oneof of the base says."""
    descriptor: Any = message.DESCRIPTOR
    for name in path:
        field = descriptor.fields_by_name[name]
        oneof = field.containing_oneof
        is_choice = oneof is not None and len(oneof.fields) > 1  # an optional field is a oneof of its own
        if is_choice and message.WhichOneof(oneof.name) != name:
            return False
        if field.message_type is None or field.is_repeated:
            return True
        message, descriptor = getattr(message, name), field.message_type
    return True


FORMAT = pb.VideoFormat(
    width=SIDE,
    height=SIDE,
    pixel_format="yuv420p",
    color=pb.Color(range=pb.COLOR_RANGE_LIMITED, primaries=1, transfer=1, matrix=1),
    sample_aspect_ratio=pb.Rational(num=4, den=3),
)
RATE = pb.Rational(num=25, den=1)


def _raw(codec: str = "", *, deinterlace: str = "", **options: str) -> list[pb.UpscaleRequest]:
    """A stream of raw frames, with a value in every ratio: one of 0 would be unknown."""
    frames = [raw_frame(i, SIDE, SIDE, format=FORMAT, interlaced=bool(deinterlace)) for i in range(3)]
    request = raw_config(SIDE, SIDE, deinterlace=deinterlace)
    request.config.raw_input.format.CopyFrom(FORMAT)
    if codec:
        request.config.encoded_output.CopyFrom(pb.EncodedOutput(codec=codec, options=options, frame_rate=RATE))
    else:
        request.config.target_fps.CopyFrom(RATE)
    return [request, *frames]


def _encoded(codec: str, *, timed: bool = True) -> list[pb.UpscaleRequest]:
    media = encode("h264", size=(SIDE, SIDE), pts=range(3))
    output = pb.EncodedOutput(codec=codec, options={"preset": "ultrafast"}, frame_rate=RATE)
    request = media.config(encoded_output=output)
    request.config.encoded_input.format.CopyFrom(FORMAT)
    requests = media.requests()
    for each in () if timed else requests:
        each.packet.ClearField("pts")
        each.packet.ClearField("dts")
    return [request, *requests]


BASES = {
    "frames": _raw(),
    "deinterlaced": _raw(deinterlace="bwdif"),
    "libx264": _raw("libx264", preset="ultrafast"),
    "libx265": _raw("libx265", preset="ultrafast"),
    "libsvtav1": _raw("libsvtav1", preset="12"),
    "libvpx-vp9": _raw("libvpx-vp9", deadline="realtime"),
    "packets": _encoded("libx264"),
    "packets without times": _encoded("libx264", timed=False),
}
# What a codec sees; the other fields are alike for all encoders.
_OF_CODECS = {
    *("time_base", "frame_rate", "num", "den", "pts", "dts", "duration"),
    *("range", "primaries", "transfer", "matrix", "chroma_location"),
}
CASES = [
    (base, number, path)
    for base, requests in BASES.items()
    for number in ((0, 1, 2) if base.startswith("packets") else (0, 2))
    for path in _paths(pb.UpscaleRequest.DESCRIPTOR)
    if _is_of_base(requests[number], path) and (base in ("frames", "packets", "libx264") or path[-1] in _OF_CODECS)
]


async def _with(stub: Stub, base: str, number: int, path: tuple[str, ...], value: float) -> Outcome:
    requests = [pb.UpscaleRequest.FromString(request.SerializeToString()) for request in BASES[base]]
    _set(requests[number], path, value)
    return await upscale(stub, requests, timeout=TIMEOUT_S)


async def _assert_serves(stub: Stub) -> None:
    good = await upscale(stub, BASES["libx264"], timeout=TIMEOUT_S)
    assert good.code is grpc.StatusCode.OK, good.details
    assert len(good.packets) == 3


def _values(descriptor: Any, path: tuple[str, ...]) -> tuple[float, ...]:
    for name in path[:-1]:
        descriptor = descriptor.fields_by_name[name].message_type
    return VALUES[descriptor.fields_by_name[path[-1]].type]


@pytest.mark.parametrize(
    ("base", "number", "path"), CASES, ids=lambda part: ".".join(part) if isinstance(part, tuple) else part
)
async def test_an_extreme_number_is_no_fault(base: str, number: int, path: tuple[str, ...]) -> None:
    values = _values(pb.UpscaleRequest.DESCRIPTOR, path)
    async with running(limits=LIMITS) as server, stub_of(server) as stub:
        outcomes = await asyncio.gather(*(_with(stub, base, number, path, value) for value in values))
        await _assert_serves(stub)
    for value, outcome in zip(values, outcomes, strict=True):
        assert outcome.code not in FAULTS, (value, outcome.details)
        if outcome.code is grpc.StatusCode.OK:
            assert outcome.statistics is not None


@pytest.mark.parametrize("path", list(_paths(pb.UpscaleImageRequest.DESCRIPTOR)), ids=".".join)
async def test_an_extreme_number_of_an_image_is_no_fault(path: tuple[str, ...]) -> None:
    base = pb.UpscaleImageRequest(model="bicubic_x2", format=FORMAT, frame=raw_frame(0, SIDE, SIDE).frame)
    async with running(limits=LIMITS) as server, stub_of(server) as stub:
        for value in _values(pb.UpscaleImageRequest.DESCRIPTOR, path):
            request = pb.UpscaleImageRequest.FromString(base.SerializeToString())
            _set(request, path, value)
            call = stub.UpscaleImage(request, timeout=TIMEOUT_S)
            assert await call.code() not in FAULTS, (value, await call.details())
        await _assert_serves(stub)


async def test_the_bases_are_good() -> None:
    async with running(limits=LIMITS) as server, stub_of(server) as stub:
        for name, requests in BASES.items():
            outcome = await upscale(stub, requests, timeout=TIMEOUT_S)
            assert outcome.code is grpc.StatusCode.OK, (name, outcome.details)
            assert len(outcome.frames or outcome.packets) == 3
