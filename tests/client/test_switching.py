"""Another model while a stream runs: when the wish goes out, from where, and when it is too late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import esr_client
from esr_api.v1 import upscaler_pb2 as pb
from esr_client import Client
from tests.client.pictures import frame
from tests.client.scripted import Script, serving_aio
from tests.support.waiting import eventually


def _order(script: Script) -> list[str]:
    """What came, in order: the model of each switch, and the number of each frame."""
    return [_word(request) for request in script.requests]


def _word(request: pb.UpscaleRequest) -> str:
    if request.HasField("frame"):
        return str(request.frame.sequence)
    return request.switch_model.model or "config"


def test_a_switch_goes_out_before_the_next_frame(client: Client, script: Script) -> None:
    def frames() -> Iterator[esr_client.Frame]:
        yield frame(0)
        yield frame(1)
        stream.switch_model("overtaken")
        stream.switch_model("other")
        yield frame(2)

    stream = client.upscale(frames(), model="m")
    assert [f.model for f in stream] == ["m", "m", "other"]
    assert _order(script) == ["config", "0", "1", "other", "2"]
    assert stream.statistics is not None
    assert stream.statistics.model_switches == 1


def test_a_switch_before_the_stream_begins(client: Client, script: Script) -> None:
    stream = client.upscale([frame(0), frame(1)], model="m")
    stream.switch_model("other")
    assert [f.model for f in stream] == ["other", "other"]
    assert _order(script) == ["config", "other", "0", "1"]


def test_switches_from_another_thread(client: Client, script: Script) -> None:
    switch_requested = threading.Event()

    def frames() -> Iterator[esr_client.Frame]:
        yield frame(0)
        switch_requested.wait(10)
        yield frame(1)

    def ask() -> None:
        eventually(lambda: script.frames == 1)
        stream.switch_model("other")
        switch_requested.set()

    stream = client.upscale(frames(), model="m")
    thread = threading.Thread(target=ask)
    thread.start()
    assert [f.model for f in stream] == ["m", "other"]
    thread.join()


def test_after_the_end_there_is_nothing_to_switch(client: Client, script: Script) -> None:
    whole = client.upscale([frame(0)], model="m")
    list(whole)
    closed = client.upscale([frame(0)], model="m")
    closed.close()
    empty: esr_client.UpscaleStream[esr_client.Frame] = client.upscale([], model="m")
    list(empty)
    for stream in (whole, closed, empty):
        with pytest.raises(esr_client.ClosedError, match="cannot switch to other"):
            stream.switch_model("other")
    assert _order(script) == ["config", "0"]


def test_switch_after_the_last_frame_is_refused(client: Client, script: Script) -> None:
    ready = threading.Event()

    def hold(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
        if response.HasField("statistics"):
            ready.wait(10)
        return [response]

    script.tamper = hold
    stream = client.upscale([frame(0)], model="m")
    assert next(stream).model == "m"

    def is_refused() -> bool:
        try:
            stream.switch_model("other")
        except esr_client.ClosedError:
            return True
        return False

    assert eventually(is_refused, 5)
    ready.set()
    assert list(stream) == []


def test_a_switch_to_no_name(client: Client) -> None:
    with pytest.raises(ValueError, match="name of a model"):
        client.upscale([frame(0)], model="m").switch_model("")


async def test_switches_in_asyncio(script: Script, socket_dir: Path) -> None:
    async def frames() -> AsyncIterator[esr_client.Frame]:
        yield frame(0)
        await asyncio.to_thread(stream.switch_model, "other")
        yield frame(1)

    async with serving_aio(script, socket_dir) as target, esr_client.connect_async(target) as client:
        stream = client.upscale(frames(), model="m")
        assert [f.model async for f in stream] == ["m", "other"]
        with pytest.raises(esr_client.ClosedError, match="cannot switch"):
            stream.switch_model("third")
    assert _order(script) == ["config", "0", "other", "1"]
