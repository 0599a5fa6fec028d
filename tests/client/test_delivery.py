"""Delivery, ladders and the change of models: what is asked for, what is dropped, and the account of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import esr_client
from esr_api.v1 import upscaler_pb2 as pb
from esr_client import Client, Delivery, DeliveryPolicy, Dropped, DropReason, Options, RawInput, StreamConfig
from tests.client.pictures import array, frame
from tests.client.scripted import Script, serving_aio
from tests.support.waiting import comes_true, eventually

FORMAT = esr_client.VideoFormat(width=8, height=6, pixel_format="yuv420p")
RAW = RawInput(format=FORMAT, time_base=Fraction(1, 12800))
PACKETS = esr_client.EncodedInput(
    codec="h264",
    time_base=Fraction(1, 90000),
    format=esr_client.VideoFormat(width=4, height=4, pixel_format="gray"),
)
SUPERSEDED, LATE = pb.DROP_REASON_SUPERSEDED, pb.DROP_REASON_LATE


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, -0.1, math.inf, math.nan])
def test_a_deadline_is_above_0_and_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Delivery.deadline(seconds)


@pytest.mark.parametrize(("policy", "seconds"), [("LATEST", 0.1), ("LOSSLESS", 0.1), ("DEADLINE", None)])
def test_a_deadline_belongs_to_one_policy(policy: str, seconds: float | None) -> None:
    with pytest.raises(ValueError, match="the policy DEADLINE needs"):
        Delivery(DeliveryPolicy(policy), seconds)


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Delivery.latest().deadline_s = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Dropped(0, None, DropReason.LATE).pts = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ladder": ("a", "b")}, "a ladder needs target_fps"),
        ({"model": "m", "ladder": ("a", "b"), "target_fps": 30}, "replaces the model"),
        ({"ladder": "abc", "target_fps": 30}, "tuple of model names"),
        ({"ladder": ("a", ""), "target_fps": 30}, "tuple of model names"),
        ({"model": "auto"}, "auto needs target_fps"),
        ({"model": "auto_x3"}, "auto_x3 needs target_fps"),
        ({"model": "m", "target_fps": 0}, "above 0"),
        ({"model": "m", "target_fps": Fraction(-1, 2)}, "above 0"),
        ({"model": "m", "target_fps": math.inf}, "finite"),
        ({"model": "m", "delivery": "latest"}, r"Delivery\.latest\(\)"),
    ],
)
def test_choices_that_do_not_go_together(client: Client, script: Script, wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        client.upscale([array(0)], **wrong)
    if wrong.get("target_fps") != math.inf:
        with pytest.raises(ValueError, match=message):
            StreamConfig(input=RAW, **wrong)
    assert script.requests == []


@pytest.mark.parametrize(
    ("rate", "num", "den"),
    [(30, 30, 1), (12.5, 25, 2), (29.97002997, 30000, 1001), (23.976024, 24000, 1001), (Fraction(50, 3), 50, 3)],
)
def test_what_is_asked_for_reaches_the_server(
    client: Client, script: Script, rate: float | Fraction, num: int, den: int
) -> None:
    with client.upscale(
        [array(0)], ladder=["big", "small"], target_fps=rate, delivery=Delivery.deadline(0.25)
    ) as stream:
        negotiated = stream.open()
    config = script.requests[0].config
    assert (config.model, list(config.ladder)) == ("", ["big", "small"])
    assert (config.target_fps.num, config.target_fps.den) == (num, den)
    assert (config.delivery.policy, config.delivery.deadline_s) == (pb.DELIVERY_POLICY_DEADLINE, 0.25)
    assert negotiated is not None
    assert (negotiated.ladder, negotiated.delivery, negotiated.model) == (
        ("big", "small"),
        Delivery.deadline(0.25),
        "big",
    )


@pytest.mark.parametrize(
    ("delivery", "policy"), [(Delivery.lossless(), "LOSSLESS"), (Delivery.latest(), "LATEST"), (None, "LOSSLESS")]
)
def test_the_policy_reaches_the_server(client: Client, script: Script, delivery: Delivery | None, policy: str) -> None:
    config = StreamConfig(model="auto", target_fps=Fraction(30), input=RAW)
    list(client.stream([frame(0)], config if delivery is None else replace(config, delivery=delivery)))
    sent_config = script.requests[0].config
    assert pb.DeliveryPolicy.Name(sent_config.delivery.policy) == f"DELIVERY_POLICY_{policy}"
    assert (sent_config.model, sent_config.target_fps.num) == ("auto", 30)


# ---- drops ----------------------------------------------------------------------------------------------------------


def test_drops_are_told_in_their_place(client: Client, script: Script) -> None:
    script.drops = {0: LATE, 2: SUPERSEDED, 3: SUPERSEDED, 6: LATE}
    events: list[object] = []
    pts = [7, None, 2**40 + 1, None, 9, 10, -5]
    frames = [frame(i, pts=pts[i]) for i in range(7)]
    stream = client.upscale(frames, model="m", delivery=Delivery.latest(), on_drop=events.append)
    assert dict(stream.dropped) == {DropReason.SUPERSEDED: 0, DropReason.LATE: 0}
    for out in stream:
        events.append((out.sequence, out.pts))
    assert events == [
        Dropped(0, 7, DropReason.LATE),
        (1, None),
        Dropped(2, 2**40 + 1, DropReason.SUPERSEDED),
        Dropped(3, None, DropReason.SUPERSEDED),
        (4, 9),
        (5, 10),
        Dropped(6, -5, DropReason.LATE),
    ]
    assert dict(stream.dropped) == {DropReason.SUPERSEDED: 2, DropReason.LATE: 2}
    assert stream.statistics is not None
    assert (stream.statistics.frames_in, stream.statistics.frames_out, stream.statistics.frames_dropped) == (7, 3, 4)


def test_drops_are_counted_without_anybody_who_listens(client: Client, script: Script) -> None:
    script.drops = dict.fromkeys(range(0, 100, 2), SUPERSEDED)
    stream = client.upscale([array(i) for i in range(100)], model="m", delivery=Delivery.deadline(1))
    assert [int(a[0, 0]) for a in stream] == list(range(1, 100, 2))
    assert stream.dropped[DropReason.SUPERSEDED] == 50


def test_the_count_cannot_be_written_to(client: Client) -> None:
    with pytest.raises(TypeError):
        client.upscale([array(0)], model="m").dropped[DropReason.LATE] = 1  # type: ignore[index]


def test_what_on_drop_raises_ends_the_stream(client: Client, script: Script) -> None:
    def refuse(dropped: Dropped) -> None:
        raise KeyError(dropped.sequence)

    script.drops = {1: LATE}
    with pytest.raises(KeyError, match="1"):
        list(client.upscale((frame(i % 9) for i in itertools.count()), model="m", delivery=Delivery.latest(),
                            on_drop=refuse))  # fmt: skip
    assert eventually(lambda: script.ended == ["broken"])


def test_drops_of_packets_count_frames(client: Client, script: Script) -> None:
    script.drops = {1: LATE, 2: LATE}
    dropped: list[Dropped] = []
    config = StreamConfig(model="m", input=PACKETS, delivery=Delivery.latest())
    packets = [esr_client.Packet(bytes([i]), pts=i * 3600) for i in range(5)]
    out = list(client.stream(packets, config, on_drop=dropped.append))
    assert [f.pts for f in out] == [0, 3 * 3600, 4 * 3600]
    assert dropped == [Dropped(1, 3600, DropReason.LATE), Dropped(2, 7200, DropReason.LATE)]


def _encoder(tamper_order: list[int]) -> Callable[[pb.UpscaleResponse], list[pb.UpscaleResponse]]:
    """Frames become packets, which come at the end only; `tamper_order` is of their numbers."""
    packets: dict[int, pb.UpscaleResponse] = {}

    def tamper(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
        if response.HasField("frame"):
            sequence = response.frame.sequence
            packets[sequence] = pb.UpscaleResponse(packet=pb.Packet(sequence=sequence, data=b"x", model="made"))
            return []
        if response.HasField("statistics"):
            response.statistics.packets_out = len(packets)
            return [*(packets[i] for i in tamper_order), response]
        return [response]

    return tamper


def test_packets_out_come_after_drops_of_later_frames(client: Client, script: Script) -> None:
    script.drops, script.tamper = {1: SUPERSEDED, 3: LATE}, _encoder([2, 0, 4])
    config = StreamConfig(
        model="m", input=RAW, output=esr_client.EncodedOutput(codec="libx264"), delivery=Delivery.latest()
    )
    stream = client.stream([frame(i) for i in range(5)], config)
    out = list(stream)
    assert [(p.sequence, p.model) for p in out] == [(2, "made"), (0, "made"), (4, "made")]
    assert set(stream.dropped.values()) == {1}


def _change(which: str, field: str, value: int) -> Callable[[pb.UpscaleResponse], list[pb.UpscaleResponse]]:
    def tamper(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
        if response.WhichOneof("payload") == which:
            setattr(getattr(response, which), field, value)
        return [response]

    return tamper


def _lose_a_drop(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    return [] if response.HasField("dropped") else [response]


def _drop_one_more(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    more = pb.UpscaleResponse(dropped=pb.Dropped(sequence=5, reason=LATE))
    return [more, response] if response.HasField("statistics") else [response]


def _negotiate_no_policy(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    if response.HasField("negotiated"):
        response.negotiated.delivery.policy = 99  # type: ignore[assignment]
    return [response]


def _negotiate_no_deadline(response: pb.UpscaleResponse) -> list[pb.UpscaleResponse]:
    if response.HasField("negotiated"):
        response.negotiated.delivery.policy = pb.DELIVERY_POLICY_DEADLINE
    return [response]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (_change("dropped", "sequence", 3), "dropped frame 3 where frame 2 was expected"),
        (_change("dropped", "reason", 0), "dropped frame 2 for a reason that is not in the contract"),
        (_change("dropped", "reason", 77), "dropped frame 2 for a reason that is not in the contract"),
        (_lose_a_drop, "sent frame 3 where frame 2 was expected"),
        (_drop_one_more, "dropped frame 5, which was not requested"),
        (_change("statistics", "frames_dropped", 0), "frames dropped: 1 by this client's count, 0 by the server's"),
        (_change("statistics", "frames_dropped", 2), "frames dropped: 1 by this client's count, 2 by the server's"),
        (_change("statistics", "frames_failed", 1), "frames accounted for: 6"),
        (_change("statistics", "frames_out", 5), "frames received: 4 by this client's count, 5"),
        (_negotiate_no_policy, "has an invalid delivery"),
        (_negotiate_no_deadline, "has an invalid delivery"),
    ],
)
def test_a_server_that_breaks_the_contract(client: Client, script: Script, tamper: Any, message: str) -> None:
    script.drops, script.tamper = {2: LATE}, tamper
    stream = client.upscale([frame(i) for i in range(5)], model="m", delivery=Delivery.latest())
    with pytest.raises(esr_client.ContractError, match=message):
        list(stream)


def test_packets_are_accounted_for_with_drops_too(client: Client, script: Script) -> None:
    script.drops, script.tamper = {2: LATE}, _lose_a_drop
    config = StreamConfig(
        model="m", input=RAW, output=esr_client.EncodedOutput(codec="libx264"), delivery=Delivery.latest()
    )
    lossy = _encoder([0, 1])
    script.tamper = lambda response: [reply for r in _lose_a_drop(response) for reply in lossy(r)]
    with pytest.raises(esr_client.ContractError, match="frames dropped: 0 by this client's count, 1"):
        list(client.stream([frame(i) for i in range(3)], config))


def test_a_lossless_stream_has_no_drops(client: Client, script: Script) -> None:
    script.drops = {1: LATE}
    with pytest.raises(esr_client.ContractError, match="dropped frame 1 of a lossless stream"):
        list(client.upscale([frame(i) for i in range(3)], model="m"))


# ---- no waiting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", [Delivery.latest(), Delivery.deadline(0.1)])
def test_a_live_source_never_waits_for_answers(target: str, script: Script, delivery: Delivery) -> None:
    script.silent = True
    with (
        esr_client.connect(target, options=Options(window=1)) as client,
        client.upscale((frame(i % 200) for i in range(300)), model="m", delivery=delivery) as stream,
    ):
        stream.open()
        assert eventually(lambda: script.frames == 300)


async def test_asyncio_live_source_never_waits(script: Script, socket_dir: Path) -> None:
    script.silent = True
    async with (
        serving_aio(script, socket_dir) as target,
        esr_client.connect_async(target, options=Options(window=1)) as client,
        client.upscale([frame(i) for i in range(50)], model="m", delivery=Delivery.latest()) as stream,
    ):
        await stream.open()
        assert await comes_true(lambda: script.frames == 50)


async def test_drops_in_asyncio(script: Script, socket_dir: Path) -> None:
    script.drops = {1: LATE}
    dropped: list[Dropped] = []
    async with serving_aio(script, socket_dir) as target, esr_client.connect_async(target) as client:
        stream = client.upscale(
            [frame(i) for i in range(3)], model="m", delivery=Delivery.latest(), on_drop=dropped.append
        )
        assert [f.pts async for f in stream] == [0, 20]
        config = StreamConfig(model="m", input=RAW, delivery=Delivery.latest())
        assert len([f async for f in client.stream([frame(i) for i in range(3)], config, on_drop=dropped.append)]) == 2
        with pytest.raises(ValueError, match="needs target_fps"):
            client.upscale([frame(0)], ladder=("a", "b"))
    assert dropped == [Dropped(1, 10, DropReason.LATE)] * 2
    assert stream.dropped[DropReason.LATE] == 1
