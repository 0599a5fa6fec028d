"""The sync client's streams, against the scripted server."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

import esr_client
from esr_api.v1 import upscaler_pb2 as pb
from esr_client import Client, Options
from esr_media.ratio import to_fraction
from tests.client.pictures import array, frame
from tests.client.scripted import Script, Tamper, in_pairs
from tests.support.waiting import eventually


def test_arrays_come_back_as_arrays_in_order(client: Client) -> None:
    out = list(client.upscale([array(i) for i in range(20)], model="m"))
    assert [(a.shape, int(a[0, 0])) for a in out] == [((12, 16), i) for i in range(20)]


def test_rgb_arrays_come_back_as_rgb(client: Client) -> None:
    picture = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
    (out,) = client.upscale([picture], model="m")
    assert np.array_equal(out, picture.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_come_back_in_kind(client: Client, shape: tuple[int, ...], dtype: type[np.uint8 | np.uint16]) -> None:
    picture = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    (out,) = client.upscale([picture], model="m")
    assert out.dtype == dtype
    assert np.array_equal(out, picture.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(("shape", "dtype"), [((6, 5), ">u2"), ((6, 5), "f4"), ((6, 5, 4), "u1"), ((2, 6, 5, 3), "u2")])
def test_other_arrays_are_refused(client: Client, shape: tuple[int, ...], dtype: str) -> None:
    picture: NDArray[Any] = np.zeros(shape, dtype)
    with pytest.raises(esr_client.FrameError, match="of uint8 or uint16, not"):
        list(client.upscale([picture], model="m"))


def test_padded_rows_are_sent_without_padding(client: Client) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (6, 32), np.uint8)
    (out,) = client.upscale([wide[:, 3:11]], model="m")
    assert np.array_equal(out, wide[:, 3:11].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("name", ["gray", "nv12", "yuv420p", "yuv444p10le", "p010le", "bgr24", "bgr48le"])
def test_frames_keep_time_and_tags(client: Client, name: str) -> None:
    color = esr_client.Color(range=esr_client.ColorRange.FULL, primaries=9, transfer=16, matrix=9)
    frames = [
        frame(i, 7, 5, name, duration=3, color=color, sample_aspect_ratio=Fraction(4, 3), rotation=-90)
        for i in range(5)
    ]
    for i, (old, new) in enumerate(zip(frames, client.upscale(frames, model="m"), strict=True)):
        assert (new.width, new.height, new.pixel_format) == (14, 10, name)
        assert (new.pts, new.duration, new.time_base) == (old.pts, 3, Fraction(1, 12800))
        assert (new.color, new.sample_aspect_ratio, new.rotation) == (color, Fraction(4, 3), -90)
        assert (new.sequence, new.stages and new.stages.luma) == (i, 0.25)
        assert all((plane == i).all() for plane in new.planes)


def test_missing_pts_stay_missing(client: Client) -> None:
    assert [f.pts for f in client.upscale([frame(0, pts=None), frame(1)], model="m")] == [None, 10]


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "rgb24", "bgr24", "rgb48le", "gray", "gray16le"])
def test_av_frames_keep_time_and_tags(client: Client, name: str) -> None:
    picture = av.VideoFrame(49, 31, name)
    for plane in picture.planes:
        plane.update(bytes([1]) * plane.buffer_size)
    picture.pts, picture.time_base, picture.duration = 77, Fraction(1, 600), 20
    picture.color_range, picture.colorspace, picture.color_primaries, picture.color_trc = 2, 9, 9, 16
    (out,) = client.upscale([picture], model="m")
    assert isinstance(out, av.VideoFrame)
    assert (out.width, out.height, out.format.name) == (98, 62, name)
    assert (out.pts, to_fraction(out.time_base), out.duration) == (77, Fraction(1, 600), 20)
    assert (out.color_range, out.colorspace, out.color_primaries, out.color_trc) == (2, 9, 9, 16)
    assert set(bytes(out.planes[0])[: 49 * 2]) == {1}


def test_other_time_bases_are_converted(client: Client) -> None:
    frames = [frame(1), frame(2, time_base=Fraction(1, 6400))]
    out = list(client.upscale(frames, model="m"))
    assert [(f.pts, f.time_base) for f in out] == [(10, Fraction(1, 12800)), (40, Fraction(1, 12800))]
    with pytest.raises(esr_client.FrameError, match="is not a multiple"):
        list(client.upscale([frame(1), frame(2, pts=1, time_base=Fraction(1, 90000))], model="m"))


def test_a_change_of_size_is_followed(client: Client, script: Script) -> None:
    out = list(client.upscale([frame(0), frame(1, 4, 4), frame(2, 4, 4), frame(3)], model="m"))
    assert [(f.width, f.height) for f in out] == [(16, 12), (8, 8), (8, 8), (16, 12)]
    has_format = [request.frame.HasField("format") for request in script.requests[1:]]
    assert has_format == [False, True, False, True]


def test_negotiated_and_statistics(client: Client) -> None:
    with client.upscale([array(0), array(1)], model="m") as stream:
        assert stream.negotiated is None
        negotiated = stream.open()
        assert negotiated is not None
        assert (negotiated.model, negotiated.scale, negotiated.output_format.width) == ("m", 2, 16)
        assert stream.statistics is None
        assert len(list(stream)) == 2
        assert stream.negotiated == negotiated
        assert stream.statistics is not None
        assert (stream.statistics.frames_in, stream.statistics.frames_out) == (2, 2)
        assert list(stream) == []


def test_no_frames_no_call(client: Client, script: Script) -> None:
    stream: esr_client.UpscaleStream[esr_client.Frame] = client.upscale([], model="m")
    assert stream.open() is None
    assert list(stream) == []
    assert script.requests == []


def test_no_more_than_the_window_is_under_way(target: str, script: Script) -> None:
    script.silent = True
    source_count = 0

    def frames() -> Iterator[esr_client.Frame]:
        nonlocal source_count
        for i in itertools.count():
            source_count += 1
            yield frame(i % 200)

    with esr_client.connect(target, options=Options(window=3)) as client, client.upscale(frames(), model="m") as stream:
        stream.open()
        assert eventually(lambda: script.frames == 3)
        assert not eventually(lambda: (script.frames, source_count) != (3, 3), 0.05)
    assert eventually(lambda: script.ended == ["broken"])


def test_several_frames_in_one_response_come_in_order(client: Client, script: Script) -> None:
    script.tamper = in_pairs()
    stream = client.upscale([array(i) for i in range(50)], model="m")
    assert [int(a[0, 0]) for a in stream] == list(range(50))
    assert stream.statistics is not None
    assert stream.statistics.frames_out == 50


@pytest.mark.parametrize("tamper", [None, in_pairs()], ids=["one by one", "in pairs"])
def test_a_slow_consumer_holds_the_source_back(target: str, script: Script, tamper: Tamper | None) -> None:
    script.tamper = tamper or script.tamper
    source_count = 0

    def frames() -> Iterator[esr_client.Frame]:
        nonlocal source_count
        for i in range(30):
            source_count += 1
            yield frame(i)

    with esr_client.connect(target, options=Options(window=2)) as client:
        for output_count, _ in enumerate(client.upscale(frames(), model="m"), 1):
            time.sleep(0.002)
            assert source_count <= output_count + 2
    assert source_count == 30


def test_a_window_of_one_can_be_deinterlaced(target: str, script: Script) -> None:
    # The filter answers a frame after it has seen the next: the window must let that one go.
    script.silent = True
    frames = [frame(i) for i in range(9)]
    options = Options(window=1)
    with (
        esr_client.connect(target, options=options) as client,
        client.upscale(frames, model="m", deinterlace="bwdif") as stream,
    ):
        stream.open()
        assert eventually(lambda: script.frames == 3)


class SourceError(BaseException):
    """Raised by a caller's iterator. Not even an Exception."""


@pytest.mark.parametrize("good", [0, 1, 5])
def test_source_error_is_raised_and_cancels_the_call(client: Client, script: Script, good: int) -> None:
    def frames() -> Iterator[esr_client.Frame]:
        yield from (frame(i) for i in range(good))
        raise SourceError("the camera is gone") from OSError("unplugged")

    with pytest.raises(SourceError, match="camera") as error_info:
        list(client.upscale(frames(), model="m"))
    assert isinstance(error_info.value.__cause__, OSError)
    assert not good or eventually(lambda: script.ended == ["broken"])


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
def test_a_server_error_in_mid_stream(client: Client, script: Script, status: grpc.StatusCode) -> None:
    script.end_after, script.status = 3, status
    frame_count = 0
    with pytest.raises(esr_client.ServerError, match="frame 3 failed on purpose") as error_info:  # noqa: PT012
        for _ in client.upscale([frame(i) for i in range(9)], model="m"):
            frame_count += 1
    assert (error_info.value.code, frame_count) == (status.name, 3)
    assert isinstance(error_info.value.__cause__, grpc.RpcError)


def test_a_refused_config(client: Client) -> None:
    with pytest.raises(esr_client.NotFoundError, match="did you mean bicubic_x2"):
        client.upscale([array(0)], model="nonesuch").open()


def test_nobody_there() -> None:
    with esr_client.connect("127.0.0.1:1") as client:
        with pytest.raises(esr_client.UnavailableError) as error_info:
            list(client.upscale([array(0)], model="m"))
        assert error_info.value.retryable
        with pytest.raises(esr_client.UnavailableError):
            client.models()


def test_a_deadline(client: Client, script: Script) -> None:
    script.silent = True
    with pytest.raises(esr_client.DeadlineExceededError):
        list(client.upscale([array(0)] * 9, model="m", timeout_s=0.1))


def test_abandoning_the_iterator_cancels_the_call(client: Client, script: Script) -> None:
    for _ in client.upscale((frame(i % 200) for i in itertools.count()), model="m"):
        break
    gc.collect()
    assert eventually(lambda: script.ended == ["broken"])


def test_closing_from_another_thread_ends_the_wait(client: Client, script: Script) -> None:
    script.silent = True
    stream = client.upscale([array(0)] * 9, model="m")
    stream.open()
    threading.Timer(0.05, stream.close).start()
    with pytest.raises(esr_client.CallCancelledError):
        next(stream)


def test_a_closed_client(client: Client) -> None:
    client.close()
    with pytest.raises(esr_client.ClosedError):
        client.models()
    with pytest.raises(esr_client.ClosedError):
        list(client.upscale([array(0)], model="m"))


def test_two_streams_at_once(client: Client) -> None:
    streams = [client.upscale([array(i) for i in range(n, n + 50)], model="m") for n in (0, 100)]
    pairs = [(int(a[0, 0]), int(b[0, 0])) for a, b in zip(*streams, strict=True)]
    assert pairs == [(i, i + 100) for i in range(50)]


@pytest.mark.parametrize("bad", [np.zeros((2, 2), np.float32), np.zeros((2, 2, 4), np.uint8), "frame", None])
def test_what_cannot_be_sent(client: Client, bad: object) -> None:
    with pytest.raises(esr_client.FrameError, match=r"arrays are|frames are"):
        list(client.upscale([array(0), bad], model="m"))  # type: ignore[type-var]


def test_a_frame_over_the_limit_is_not_sent(target: str, script: Script) -> None:
    with esr_client.connect(target, options=Options(max_frame_pixels=40_000)) as client:
        big = array(0, 1000, 500)
        with pytest.raises(esr_client.FrameError, match="max_frame_pixels") as error_info:
            list(client.upscale([big], model="m"))
    assert error_info.value.code == "RESOURCE_EXHAUSTED"
    assert script.frames == 0


def test_a_response_over_the_limit(target: str) -> None:
    options = Options(max_frame_pixels=40_000)
    with esr_client.connect(target, options=options) as client:
        stream = client.upscale([array(0, 400, 300)], model="m")
        with pytest.raises(esr_client.ResourceExhaustedError) as error_info:
            list(stream)
    assert not error_info.value.retryable


def _lose(which: str, number: int) -> object:
    def tamper(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
        is_match = response.WhichOneof("payload") == which and (which != "frame" or response.frame.sequence == number)
        return [] if is_match else [response]

    return tamper


def _change(which: str, field: str, value: int) -> object:
    def tamper(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
        if response.WhichOneof("payload") == which:
            setattr(getattr(response, which), field, value)
        return [response]

    return tamper


def _twice(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    return [response, response]


def _statistics_for_negotiated(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    is_negotiated = response.WhichOneof("payload") == "negotiated"
    return [pb.UpscaleResponse(statistics=pb.StreamStatistics()) if is_negotiated else response]


def _nothing(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    return [pb.UpscaleResponse()]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (_lose("frame", 2), "frame 3 where frame 2 was expected"),
        (_lose("frame", 4), "frames received: 4 by this client's count, 5"),
        (_lose("statistics", 0), "without its statistics"),
        (_statistics_for_negotiated, "where its negotiated answer was expected"),
        (_change("statistics", "frames_in", 6), "frames sent: 5 by this client's count, 6"),
        (_change("statistics", "frames_failed", 1), "frames accounted for"),
        (_change("frame", "sequence", 0), "frame 0 where frame 1 was expected"),
        (_twice, "sent negotiated where a frame"),
        (_nothing, "sent an empty response"),
    ],
)
def test_a_server_that_breaks_the_contract(client: Client, script: Script, tamper: object, message: str) -> None:
    script.tamper = tamper  # type: ignore[assignment]
    with pytest.raises(esr_client.ContractError, match=message):
        list(client.upscale([frame(i) for i in range(5)], model="m"))


def test_planes_that_do_not_fit(client: Client, script: Script) -> None:
    def short(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
        if response.WhichOneof("payload") == "frame":
            response.frame.planes[1].data = b"short"
        return [response]

    script.tamper = short
    with pytest.raises(esr_client.ContractError, match="does not fit its format"):
        list(client.upscale([frame(0)], model="m"))


def test_packets_in(client: Client, script: Script) -> None:
    fmt = esr_client.VideoFormat(width=4, height=4, pixel_format="gray")
    config = esr_client.StreamConfig(
        model="m", input=esr_client.EncodedInput(codec="h264", time_base=Fraction(1, 90000), format=fmt)
    )
    packets = [esr_client.Packet(bytes([i]), pts=i * 3600, is_keyframe=True) for i in range(40)]
    stream = client.stream(packets, config)
    out = list(stream)
    assert [(f.pts, int(f.planes[0][0, 0])) for f in out if isinstance(f, esr_client.Frame)] == [
        (i * 3600, i) for i in range(40)
    ]
    assert stream.statistics is not None
    assert stream.statistics.packets_in == 40
    assert list(client.stream([], config)) == []
    with pytest.raises(esr_client.FrameError, match="takes packets, not frames"):
        list(client.stream([frame(0)], config))


def test_one_picture(client: Client) -> None:
    out = client.upscale_image(array(3), model="m")
    assert out.shape == (12, 16)
    assert client.upscale_image(frame(3, pts=5), model="m").pts == 5


def test_models_and_status(client: Client) -> None:
    models = client.models()
    assert [m.model for m in models] == ["esr_tr_x2_k5_c2", "bicubic_x2"]
    assert models[0].psnr_db["Set5"] == pytest.approx(35.4)
    status = client.status()
    assert status.serving
    assert dict(status.services) == {"esr_api.v1.UpscalerService": "UNKNOWN"}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "this one is empty"),
        ("http://localhost:50051", "write 'localhost:50051'"),
        ("host:port", "a port is a number"),
        ("host:0", "a port from 1 to 65535"),
    ],
)
def test_a_wrong_target_is_refused_at_once(target: str, says: str) -> None:
    for connect in (esr_client.connect, esr_client.connect_async):
        with pytest.raises(ValueError, match=says):
            connect(target)
