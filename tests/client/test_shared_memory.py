"""Shared memory between the SDK and a real server on this host."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import esr_client
from esr_api.address import parse_address
from esr_client import Frame, Options
from esr_client._client_base import options_for
from esr_client._shared_memory import SharedMemory, SlotPlanes
from esr_media.formats import PIXEL_FORMATS
from esr_server.app import Server
from tests.client.pictures import array, frame
from tests.client.scripted import Script
from tests.support.media import encode
from tests.support.server import running, running_on_thread, target
from tests.support.shared_memory import in_shared_memory as _is_shared
from tests.support.shared_memory import traces
from tests.support.waiting import eventually

INLINE = Options(shared_memory=False)


@pytest.fixture(autouse=True)
def _collected() -> None:
    gc.collect()  # frames of other tests, in the tracebacks of what those expected


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_on_thread() as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[esr_client.Client]:
    with esr_client.connect(target(server)) as client:
        yield client


def _noise(seed: int, name: str = "yuv420p", width: int = 33, height: int = 21) -> Frame:
    """A frame of noise, whose planes are strided."""
    row = PIXEL_FORMATS[name]
    rng = np.random.default_rng(seed)
    planes = []
    for index in range(len(row.planes)):
        rows, samples = row.plane_shape(index, width, height)
        wide = rng.integers(0, 1 << (8 if row.dtype.itemsize == 1 else 10), (rows, samples + 7)).astype(row.dtype)
        planes.append((wide << 6 if name == "p010le" else wide)[:, 3:-4])
    return Frame(tuple(planes), width, height, name, pts=seed)


def _same(one: Frame, other: Frame) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True)) and one.pts == other.pts


@pytest.mark.parametrize("name", ["gray", "yuv420p", "nv12", "yuv422p10le", "p010le", "bgr24", "rgb48le"])
def test_the_pixels_are_those_of_messages(server: Server, client: esr_client.Client, name: str) -> None:
    frames = [_noise(i, name) for i in range(12)]
    with client.upscale(frames, model="bicubic_x2") as stream:
        shared = list(stream)
    assert stream.negotiated is not None
    assert stream.negotiated.shared_memory
    assert stream.negotiated.shared_memory_refusal == ""
    with esr_client.connect(target(server), options=INLINE) as other:
        inline = list(other.upscale(frames, model="bicubic_x2"))
    assert all(_same(*pair) for pair in zip(shared, inline, strict=True))
    assert all(_is_shared(plane) for plane in shared[6].planes)
    assert not any(_is_shared(plane) for f in inline for plane in f.planes)


@pytest.fixture
def placements(monkeypatch: pytest.MonkeyPatch) -> list[SlotPlanes | None]:
    """Where each frame that is sent was put; None where it goes inline."""
    places: list[SlotPlanes | None] = []
    put = SharedMemory.put

    def spied(self: SharedMemory, sequence: int, planes: Any) -> SlotPlanes | None:
        places.append(put(self, sequence, planes))
        return places[-1]

    monkeypatch.setattr(SharedMemory, "put", spied)
    return places


def test_input_goes_through_slots_too(client: esr_client.Client, placements: list[SlotPlanes | None]) -> None:
    """From the first frame on: none is sent before the server's negotiated answer."""
    for _ in client.upscale([frame(i) for i in range(40)], model="bicubic_x2"):
        pass
    assert len(placements) == 40
    assert all(placements)


def test_frames_that_are_kept_never_change(client: esr_client.Client) -> None:
    views: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for i, output in enumerate(client.upscale((_noise(i) for i in range(60)), model="bicubic_x2")):
        if i % 5 == 0:
            view = output.planes[0][2:9, ::3].T  # a view of a view; nothing else keeps the frame
            views.append((view, view.copy()))
    assert sum(_is_shared(view) for view, _ in views) > 3
    assert all(np.array_equal(view, copy) for view, copy in views)


def test_slots_come_back_when_the_last_view_is_gone(client: esr_client.Client) -> None:
    shared = [_is_shared(out) for out in client.upscale([array(i) for i in range(100)], model="bicubic_x2")]
    assert all(shared)


def test_more_kept_frames_than_slots_come_inline(client: esr_client.Client) -> None:
    outputs = list(client.upscale([_noise(i) for i in range(40)], model="bicubic_x2", timeout_s=30))
    places = [_is_shared(output.planes[0]) for output in outputs]
    assert places == [True] * sum(places) + [False] * (40 - sum(places))
    assert sum(places) == Options().window + 4


def test_kept_frames_outlive_stream_and_client(server: Server) -> None:
    with esr_client.connect(target(server)) as client:
        outputs = list(client.upscale([_noise(i) for i in range(4)], model="bicubic_x2"))
    gc.collect()
    with esr_client.connect(target(server), options=INLINE) as client:
        again = list(client.upscale([_noise(i) for i in range(4)], model="bicubic_x2"))
    assert all(_is_shared(output.planes[0]) for output in outputs)
    assert all(_same(*pair) for pair in zip(outputs, again, strict=True))


def test_received_planes_cannot_be_written_to(client: esr_client.Client) -> None:
    (out,) = client.upscale([array(7)], model="bicubic_x2")
    assert _is_shared(out)
    with pytest.raises(ValueError, match="WRITEABLE"):
        out.flags.writeable = True


def test_av_frames_are_copies(client: esr_client.Client) -> None:
    pictures = [av.VideoFrame.from_ndarray(np.full((12, 16), i, np.uint8), "gray") for i in range(30)]
    out = list(client.upscale(pictures, model="bicubic_x2"))
    assert [int(output.to_ndarray()[0, 0]) for output in out] == list(range(30))


def _packets(count: int, **options: Any) -> tuple[list[esr_client.Packet], esr_client.StreamConfig]:
    media = encode(size=(64, 48), pts=tuple(range(count)), **options)
    fmt = esr_client.VideoFormat(width=64, height=48, pixel_format="yuv420p")
    encoded_input = esr_client.EncodedInput(
        codec="h264", time_base=Fraction(1, 25), format=fmt, extradata=media.extradata
    )
    packets = [esr_client.Packet(p.data, pts=p.pts, dts=p.dts, is_keyframe=p.is_keyframe) for p in media.packets]
    return packets, esr_client.StreamConfig(model="bicubic_x2", input=encoded_input)


def test_packets_in_and_frames_out(server: Server) -> None:
    packets, config = _packets(40)
    results = []
    for options in (Options(), INLINE):
        with esr_client.connect(target(server), options=options) as client:
            stream = client.stream(packets, config)
            results.append([output for output in stream if isinstance(output, Frame)])
    assert all(_same(*pair) for pair in zip(*results, strict=True))
    assert _is_shared(results[0][0].planes[0])


def test_slow_reader_of_packets_gets_slots(client: esr_client.Client) -> None:
    packets, config = _packets(150)
    shared = 0
    for output in client.stream(packets, config, timeout_s=60):
        time.sleep(0.002)  # longer than the server takes, so that nothing but the window holds it back
        shared += isinstance(output, Frame) and _is_shared(output.planes[0])
        del output
    # A server never waits for a slot. On a busy machine a freed one can come too late for a frame or two.
    assert shared >= 145


@pytest.mark.parametrize("count", [5, 60])
async def test_window_smaller_than_the_decoder_delay(server: Server, count: int) -> None:
    packets, config = _packets(count, bf="7", **{"x264-params": "b-adapt=0:b-pyramid=strict:ref=8"})
    options = Options(window=1)
    with esr_client.connect(target(server), options=options) as client:
        assert [item.pts for item in client.stream(packets, config, timeout_s=60)] == list(range(count))
    async with esr_client.connect_async(target(server), options=options) as aio:
        stream = aio.stream(packets, config, timeout_s=60)
        assert [item.pts async for item in stream] == list(range(count))


def test_frames_in_and_packets_out(client: esr_client.Client, placements: list[SlotPlanes | None]) -> None:
    fmt = esr_client.VideoFormat(width=32, height=24, pixel_format="yuv420p")
    config = esr_client.StreamConfig(
        model="bicubic_x2",
        input=esr_client.RawInput(format=fmt, time_base=Fraction(1, 25)),
        output=esr_client.EncodedOutput(codec="libx264", options={"preset": "ultrafast"}),
    )
    items = (frame(i, 32, 24, time_base=Fraction(1, 25), pts=i) for i in range(120))
    stream = client.stream(items, config, timeout_s=30)
    stream.open()
    assert len(list(stream)) == 120
    assert sum(place is not None for place in placements) >= 16


def test_a_frame_larger_than_its_slot_goes_inline(server: Server, client: esr_client.Client) -> None:
    frames = [_noise(0, width=16, height=12), *(_noise(i, width=80, height=62) for i in range(1, 8))]
    shared = list(client.upscale(frames, model="bicubic_x2"))
    with esr_client.connect(target(server), options=INLINE) as other:
        assert all(_same(*pair) for pair in zip(shared, other.upscale(frames, model="bicubic_x2"), strict=True))
    assert [_is_shared(output.planes[0]) for output in shared] == [True] + [False] * 7


@pytest.mark.parametrize("offers", [True, False])
async def test_asyncio(offers: bool, placements: list[SlotPlanes | None]) -> None:
    async with running() as server:
        async with esr_client.connect_async(target(server), options=Options(shared_memory=offers)) as client:
            stream = client.upscale([array(i) for i in range(50)], model="bicubic_x2")
            negotiated = await stream.open()
            out = [(int(output[3, 3]), _is_shared(output)) async for output in stream]
        assert negotiated is not None
        assert negotiated.shared_memory is offers
        assert out == [(i, offers) for i in range(50)]
        assert [place is not None for place in placements] == [True] * 50 * offers
    assert traces(os.getpid()) == 0


def test_a_server_that_has_it_switched_off_says_so() -> None:
    with running_on_thread(shared_memory=False) as server, esr_client.connect(target(server)) as client:
        stream = client.upscale([array(1)], model="bicubic_x2")
        negotiated = stream.open()
        assert negotiated is not None
        assert not negotiated.shared_memory
        assert negotiated.shared_memory_refusal == "shared memory is switched off on this server"
        (out,) = stream
        assert not _is_shared(out)


def test_memory_that_cannot_be_made_is_said(client: esr_client.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    negotiated = client.upscale([array(1)], model="bicubic_x2").open()
    assert negotiated is not None
    assert "could not make shared memory: [Errno 24] Too many open files" in negotiated.shared_memory_refusal


def test_nothing_is_left_after_many_streams(client: esr_client.Client) -> None:
    def run(take: int) -> None:
        with client.upscale([array(i) for i in range(6)], model="bicubic_x2") as stream:
            for _ in range(take):
                next(stream)

    run(6)
    before = len(os.listdir("/proc/self/fd"))
    for i in range(40):
        run(i % 7)  # to the end, or left before it
        with pytest.raises(esr_client.NotFoundError):
            client.upscale([array(0)], model="nonesuch").open()
    # The server is in this process too.
    assert eventually(lambda: traces(os.getpid()) == 0)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_stream_that_never_begins_leaves_nothing(server: Server) -> None:
    client = esr_client.connect(target(server))
    client.close()
    with pytest.raises(esr_client.ClosedError):
        client.upscale([array(0)], model="bicubic_x2").open()
    assert traces(os.getpid()) == 0


@pytest.mark.parametrize(
    ("where", "local"),
    [
        ("unix:/run/esr", True),
        ("localhost:1", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("192.168.1.2:1", False),
        ("[fe80::1]:1", False),
        ("localhost.example.org:1", False),
        ("127.0.0.1.example.org:1", False),
    ],
)
def test_only_a_server_on_this_host_is_offered_memory(where: str, local: bool) -> None:
    assert options_for(parse_address(where), Options()).shared_memory is local
    assert not options_for(parse_address(where), INLINE).shared_memory


class TestServersThatBreakTheContract:
    """Against a scripted server, which shares memory and then misuses it."""

    @pytest.fixture
    def client(self, target: str) -> Iterator[esr_client.Client]:
        with esr_client.connect(target) as client:
            yield client

    @pytest.mark.parametrize(
        ("slot", "offset", "says"),
        [
            (99, 0, "slot 99 of 12"),
            (0, 1 << 40, "does not fit its format"),
            (0, 16_000, "does not fit its format"),
            (0, 2**64 - 1, "does not fit its format"),
        ],
    )
    def test_places_outside_the_memory(
        self, client: esr_client.Client, script: Script, slot: int, offset: int, says: str
    ) -> None:
        script.tamper = _placing(lambda _: (slot, offset))
        with pytest.raises(esr_client.ContractError, match=says):
            list(client.upscale([array(0)], model="m"))

    def test_a_slot_that_is_not_free(self, client: esr_client.Client, script: Script) -> None:
        script.tamper = _placing(lambda _: (0, 0))
        with pytest.raises(esr_client.ContractError, match="slot 0 before it was freed"):
            list(client.upscale([array(i) for i in range(4)], model="m"))

    def test_a_slot_without_shared_memory(self, client: esr_client.Client, script: Script) -> None:
        script.tamper = _placing(lambda _: (0, 0), shares=False)
        with pytest.raises(esr_client.ContractError, match="slot 0 of 0"):
            list(client.upscale([array(0)], model="m"))

    def test_sharing_what_was_not_offered(self, target: str, script: Script) -> None:
        script.tamper = _placing(lambda _: (0, 0))
        with (
            esr_client.connect(target, options=INLINE) as client,
            pytest.raises(esr_client.ContractError, match="was not offered"),
        ):
            client.upscale([array(0)], model="m").open()


def _placing(place: Any, shares: bool = True) -> Any:
    """A tamper that shares memory, and says of each frame that it lies in (slot, offset)."""

    def tamper(response: Any) -> list[Any]:
        if response.HasField("negotiated"):
            response.negotiated.shared_memory = shares
        if response.HasField("frame"):
            response.frame.slot.index, offset = place(response.frame.sequence)
            for plane in response.frame.planes:
                plane.data, plane.offset = b"", offset
        return [response]

    return tamper
