"""The asyncio client's streams, against the scripted server on the same loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

import esr_client
from esr_client import AsyncClient, Options
from tests.client.pictures import array, frame
from tests.client.scripted import Script, in_pairs, serving_aio
from tests.support.waiting import comes_true, keeps_waiting


@pytest.fixture
async def client(script: Script, socket_dir: Path) -> AsyncIterator[AsyncClient]:
    async with serving_aio(script, socket_dir) as target, esr_client.connect_async(target) as client:
        yield client


async def _frames(count: int) -> AsyncIterator[esr_client.Frame]:
    for i in range(count):
        yield frame(i)


async def _ended(script: Script) -> bool:
    return await comes_true(lambda: script.ended == ["broken"])


async def test_frames_in_order(client: AsyncClient) -> None:
    stream = client.upscale(_frames(20), model="m")
    assert [f.pts async for f in stream] == [10 * i for i in range(20)]
    assert stream.statistics is not None
    assert stream.statistics.frames_out == 20


async def test_several_frames_in_one_response_come_in_order(client: AsyncClient, script: Script) -> None:
    script.tamper = in_pairs()
    frames = [int(a[0, 0]) async for a in client.upscale([array(i) for i in range(50)], model="m")]
    assert frames == list(range(50))


async def test_an_iterable_that_is_not_asynchronous(client: AsyncClient) -> None:
    assert [int(a[0, 0]) async for a in client.upscale([array(i) for i in range(9)], model="m")] == list(range(9))


async def test_no_frames_no_call(client: AsyncClient, script: Script) -> None:
    stream = client.upscale(_frames(0), model="m")
    assert await stream.open() is None
    assert [f async for f in stream] == []
    assert script.requests == []


async def test_no_more_than_the_window_is_under_way(script: Script, socket_dir: Path) -> None:
    script.silent = True
    async with (
        serving_aio(script, socket_dir) as target,
        esr_client.connect_async(target, options=Options(window=3)) as client,
        client.upscale(_frames(99), model="m") as stream,
    ):
        assert await stream.open() is not None
        assert await comes_true(lambda: script.frames == 3)
        assert not await comes_true(lambda: script.frames > 3, 0.1)


class SourceError(Exception):
    """Raised by a caller's iterator."""


@pytest.mark.parametrize("good", [0, 1, 5])
async def test_source_error_is_raised_and_cancels_the_call(client: AsyncClient, script: Script, good: int) -> None:
    async def frames() -> AsyncIterator[esr_client.Frame]:
        for i in range(good):
            yield frame(i)
        raise SourceError("the camera is gone") from OSError("unplugged")

    with pytest.raises(SourceError, match="camera") as error_info:
        [f async for f in client.upscale(frames(), model="m")]
    assert isinstance(error_info.value.__cause__, OSError)
    assert not good or await _ended(script)


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
async def test_a_server_error_in_mid_stream(client: AsyncClient, script: Script, status: grpc.StatusCode) -> None:
    script.end_after, script.status = 3, status
    frame_count = 0
    with pytest.raises(esr_client.ServerError, match="frame 3 failed on purpose") as error_info:  # noqa: PT012
        async for _ in client.upscale(_frames(9), model="m"):
            frame_count += 1
    assert (error_info.value.code, frame_count) == (status.name, 3)
    assert isinstance(error_info.value.__cause__, grpc.RpcError)


async def test_abandoning_the_iterator_cancels_the_call(client: AsyncClient, script: Script) -> None:
    async for _ in client.upscale(_frames(99), model="m"):
        break
    gc.collect()
    assert await _ended(script)


async def test_a_cancelled_task_stays_cancelled(client: AsyncClient, script: Script) -> None:
    script.silent = True

    async def consume() -> None:
        async for _ in client.upscale(_frames(9), model="m"):
            pass

    task = asyncio.create_task(consume())
    assert await keeps_waiting(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _ended(script)


async def test_closing_elsewhere_ends_the_wait(client: AsyncClient, script: Script) -> None:
    script.silent = True
    stream = client.upscale(_frames(9), model="m")
    await stream.open()
    task = asyncio.ensure_future(anext(stream))
    assert await keeps_waiting(task)
    await stream.aclose()
    with pytest.raises(esr_client.CallCancelledError):
        await task


async def test_a_deadline(client: AsyncClient, script: Script) -> None:
    script.silent = True
    with pytest.raises(esr_client.DeadlineExceededError):
        [f async for f in client.upscale(_frames(9), model="m", timeout_s=0.1)]


async def test_statistics_that_do_not_fit(client: AsyncClient, script: Script) -> None:
    script.tamper = lambda r: [] if r.WhichOneof("payload") == "statistics" else [r]
    with pytest.raises(esr_client.ContractError, match="without its statistics"):
        [f async for f in client.upscale(_frames(2), model="m")]


async def test_calls_that_are_no_streams(client: AsyncClient) -> None:
    assert (await client.upscale_image(array(3), model="m")).shape == (12, 16)
    assert len(await client.models()) == 2
    assert (await client.status()).serving
    await client.close()
    with pytest.raises(esr_client.ClosedError):
        await client.models()


async def test_nobody_there() -> None:
    async with esr_client.connect_async("127.0.0.1:1") as client:
        with pytest.raises(esr_client.UnavailableError):
            await client.models()
        with pytest.raises(esr_client.UnavailableError):
            [f async for f in client.upscale(_frames(2), model="m")]
