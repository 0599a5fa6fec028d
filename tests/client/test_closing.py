"""Streams that are closed before their call has begun."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import esr_client
from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceStub
from esr_client import Client, Options, StreamConfig
from esr_client._frame_types import FrameAdapters
from esr_client._protocol import FrameStreamSpec
from esr_client._stream import Call, UpscaleStream
from tests.client.pictures import frame
from tests.client.scripted import Script, serving_aio

_TIMEOUT_S = 20


def test_sync_close_before_the_first_item(client: Client, script: Script) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def frames() -> Iterator[esr_client.Frame]:
        is_asked.set()
        assert may_answer.wait(_TIMEOUT_S)
        yield frame(0)

    stream = client.upscale(frames(), model="m")
    with ThreadPoolExecutor(1) as pool:
        items = pool.submit(list, stream)
        assert is_asked.wait(_TIMEOUT_S)
        stream.close()
        may_answer.set()
        assert items.result(_TIMEOUT_S) == []
    assert (stream.negotiated, script.requests) == (None, [])


def test_sync_close_while_the_call_begins(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        stub = UpscalerServiceStub(channel)

        def start(requests: Iterator[pb.UpscaleRequest]) -> Call:
            stream.close()
            return stub.Upscale(requests)

        spec = FrameStreamSpec(lambda raw: StreamConfig(model="m", input=raw), FrameAdapters(), None)
        stream = UpscaleStream(start, spec, [frame(0)], Options())
        with pytest.raises(esr_client.CallCancelledError):
            next(stream)


async def test_aio_close_before_the_first_item(script: Script, socket_dir: Path) -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def frames() -> AsyncIterator[esr_client.Frame]:
        is_asked.set()
        await may_answer.wait()
        yield frame(0)

    async with serving_aio(script, socket_dir) as target, esr_client.connect_async(target) as client:
        stream = client.upscale(frames(), model="m")
        negotiated = asyncio.create_task(stream.open())
        async with asyncio.timeout(_TIMEOUT_S):
            await is_asked.wait()
            await stream.aclose()
            may_answer.set()
            assert await negotiated is None
        assert [item async for item in stream] == []
    assert script.requests == []
