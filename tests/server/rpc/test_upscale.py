"""The Upscale call, as the contract promises it: raw frames."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_media.formats import PIXEL_FORMATS, PixelFormat
from tests.support.calls import plane_values, raw_config, raw_frame, rest, stub_of, upscale
from tests.support.frames import bicubic_reference, noise_planes
from tests.support.server import running
from tests.support.waiting import comes_true


async def test_first_response_is_the_negotiated_stream() -> None:
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(17, 11)])
    negotiated = outcome.negotiated
    assert negotiated is not None
    assert (negotiated.model, negotiated.scale, negotiated.backend) == ("bicubic_x2", 2, "fused")
    assert (negotiated.output_format.width, negotiated.output_format.height) == (34, 22)
    assert negotiated.output_format.pixel_format == "yuv420p"
    assert (negotiated.time_base.num, negotiated.time_base.den) == (1, 25)
    assert len(negotiated.stream_id) == 16


async def test_frames_are_answered_in_order_with_their_times() -> None:
    pts = [5, None, -3, 2**62 - 1, 7]
    frames = [raw_frame(i, pts=p) for i, p in enumerate(pts)]
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(), *frames])
    assert [frame.sequence for frame in outcome.frames] == [0, 1, 2, 3, 4]
    assert [frame.pts if frame.HasField("pts") else None for frame in outcome.frames] == pts
    assert outcome.statistics is not None
    assert (outcome.statistics.frames_in, outcome.statistics.frames_out, outcome.statistics.frames_failed) == (5, 5, 0)


async def test_kernels_are_there_before_the_first_frame() -> None:
    async with running() as server, stub_of(server) as stub:
        model = server.models.get("bicubic_x2").model
        assert not model.is_warm("rgb48le")
        call = stub.Upscale()
        await call.write(raw_config(pixel_format="rgb48le"))
        assert (await call.read()).WhichOneof("payload") == "negotiated"
        assert model.is_warm("rgb48le")
        await call.done_writing()
        assert (await rest(call)).statistics is not None


async def test_the_pixels_are_bicubic() -> None:
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(16, 12, pixel_format="gray"), raw_frame(0, name="gray")])
    luma = noise_planes(PIXEL_FORMATS["gray"], 16, 12)[0]
    actual = plane_values(outcome.frames[0].planes[0], 24).astype(int)
    assert np.abs(actual - np.clip(bicubic_reference(luma, 2), 0, 255)).max() <= 1


@pytest.mark.parametrize("fmt", PIXEL_FORMATS.values(), ids=PIXEL_FORMATS)
async def test_every_format_and_odd_sizes(fmt: PixelFormat) -> None:
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(
            stub, [raw_config(7, 5, pixel_format=fmt.name, model="bicubic_x3"), raw_frame(0, 7, 5, name=fmt.name)]
        )
    (frame,) = outcome.frames
    assert frame.format.pixel_format == fmt.name
    assert (frame.format.width, frame.format.height) == (21, 15)
    for index, plane in enumerate(frame.planes):
        rows, samples = fmt.plane_shape(index, 21, 15)
        assert plane.stride == samples * fmt.dtype.itemsize
        assert len(plane.data) == plane.stride * rows


async def test_tags_pass_through() -> None:
    request = raw_config()
    fmt = request.config.raw_input.format
    fmt.color.CopyFrom(
        pb.Color(
            range=pb.COLOR_RANGE_FULL, primaries=9, transfer=16, matrix=9, chroma_location=pb.CHROMA_LOCATION_TOPLEFT
        )
    )
    fmt.sample_aspect_ratio.CopyFrom(pb.Rational(num=80, den=33))
    fmt.rotation = -90
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [request, raw_frame(0, duration=4)])
    output_format = outcome.frames[0].format
    assert output_format.color == fmt.color
    assert output_format.sample_aspect_ratio == fmt.sample_aspect_ratio
    assert output_format.rotation == -90
    assert outcome.frames[0].duration == 4


async def test_a_damaged_frame_says_so_afterwards() -> None:
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(), raw_frame(0, corrupt=True), raw_frame(1)])
    assert [frame.corrupt for frame in outcome.frames] == [True, False]


async def test_the_format_comes_once_and_when_it_changes() -> None:
    wider = pb.VideoFormat(width=20, height=12, pixel_format="nv12")
    requests = [raw_config(), raw_frame(0), raw_frame(1), raw_frame(2, 20, 12, name="nv12", format=wider)]
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, requests)
    formats = [(f.format.width, f.format.pixel_format) if f.HasField("format") else None for f in outcome.frames]
    assert formats == [(32, "yuv420p"), None, (40, "nv12")]


async def test_padded_rows_give_the_same_picture() -> None:
    plain = raw_frame(0)
    padded = pb.UpscaleRequest()
    padded.CopyFrom(plain)
    for plane in padded.frame.planes:
        rows = np.frombuffer(plane.data, np.uint8).reshape(-1, plane.stride)
        plane.data = np.pad(rows, ((0, 0), (0, 13)), constant_values=99).tobytes()[:-13]
        plane.stride += 13
    padded.frame.sequence = 1
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(), plain, padded])
    assert outcome.frames[0].planes == outcome.frames[1].planes


async def test_stages_are_timed() -> None:
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(), raw_frame(0)])
    stages = outcome.frames[0].stages
    assert stages.luma > 0
    assert stages.chroma > 0
    assert stages.queue > 0
    assert stages.decode == stages.encode == 0


async def test_streams_side_by_side_do_not_mix() -> None:
    async with running() as server, stub_of(server) as stub:
        alone = await upscale(stub, [raw_config(), *map(raw_frame, range(6))])
        together = await asyncio.gather(*(upscale(stub, [raw_config(), *map(raw_frame, range(6))]) for _ in range(5)))
    for outcome in together:
        assert [f.planes for f in outcome.frames] == [f.planes for f in alone.frames]


async def test_a_reader_that_sleeps_stops_its_sender() -> None:
    """Flow control reaches the client's iterator: the server holds no more than its queues and gRPC's windows."""
    sent_count = 0

    async def send() -> object:
        nonlocal sent_count
        yield raw_config(640, 480, pixel_format="gray")
        frame = raw_frame(0, 640, 480, name="gray").frame
        for i in range(200):
            frame.sequence = i
            sent_count += 1
            yield pb.UpscaleRequest(frame=frame)

    async with running() as server, stub_of(server) as stub:
        call = stub.Upscale(send())
        await call.read()
        assert not await comes_true(lambda: sent_count >= 100, 0.5)
        assert len((await rest(call)).frames) == 200


async def test_an_image() -> None:
    frame = raw_frame(7).frame
    fmt = pb.VideoFormat(width=16, height=12, pixel_format="yuv420p")
    async with running() as server, stub_of(server) as stub:
        image = await stub.UpscaleImage(pb.UpscaleImageRequest(model="bicubic_x4", format=fmt, frame=frame))
    assert (image.model, image.format.width, image.format.height) == ("bicubic_x4", 64, 48)
    assert image.frame.sequence == 7
    assert len(image.frame.planes) == 3


async def test_models_are_listed() -> None:
    async with running() as server, stub_of(server) as stub:
        models = {m.model: m for m in (await stub.ListModels(pb.ListModelsRequest())).models}
    assert {"bicubic_x2", "bicubic_x3", "bicubic_x4", "esr_tr_x2_k5_c2"} <= set(models)
    edge = models["esr_tr_x2_k5_c2"]
    assert (edge.alias, edge.paper_id, edge.family, edge.scale) == ("esr_tr_x2", "eSR-TR_s2_K5_C2", "esr_tr", 2)
    assert (edge.parameters, edge.macs_per_pixel) == (600, 600)
    assert edge.psnr_db["Set5"] > 35
    assert edge.backend == "fused"
    assert not edge.loaded
    assert models["bicubic_x2"].loaded
