"""One stream's stages, driven by hand: order, numbers and times."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import pytest

from esr_media.packet import Packet
from esr_server.config import Limits
from esr_server.errors import ProtocolError
from esr_server.models.cost import Cost, MeasuredCost
from esr_server.streaming.delivery import Dropped, DropReason, open_gate
from esr_server.streaming.items import Arrival, CodecStep, Result, StageSeconds
from esr_server.streaming.stages import StagesConfig, StreamStages
from esr_upscale.engine import EngineSettings, LoadedModel
from esr_upscale.errors import LimitError
from esr_upscale.frame import Frame, pixel_format
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import EncoderSettings
from esr_upscale.models import load_weights, resolve
from esr_upscale.upscaler import Upscaler
from tests.support.frames import noise_planes
from tests.support.media import Elementary, encode


@dataclass(frozen=True)
class OneModel:
    """A model as a stages sees it, and the source of it."""

    name: str
    costs: MeasuredCost
    upscaler: Upscaler

    def __call__(self) -> OneModel:
        return self


@pytest.fixture(scope="module")
def model() -> OneModel:
    spec = resolve("bicubic_x2")
    upscaler = LoadedModel(spec, load_weights(spec), EngineSettings(threads=1)).upscaler
    return OneModel(spec.canonical_id, MeasuredCost(Cost(0.0, 1e-9)), upscaler)


def _frame(index: int, *, interlaced: bool = False) -> Frame:
    fmt = pixel_format("yuv420p")
    return Frame(fmt, 64, 48, noise_planes(fmt, 64, 48, index), pts=index, interlaced=interlaced)


def _all(stages: StreamStages, items: Sequence[Frame | Packet]) -> list[Result]:
    arrivals = (Arrival(item, i, time.perf_counter()) for i, item in enumerate(items))
    ready = itertools.chain.from_iterable(stages.push(arrival, open_gate) for arrival in arrivals)
    return list(_results(itertools.chain(ready, stages.flush(open_gate))))


def _results(ready: Iterable[Result | CodecStep]) -> Iterator[Result]:
    """Run the encoder's work where it comes."""
    for each in ready:
        yield from each.run() if isinstance(each, CodecStep) else (each,)


def _packets(media: Elementary) -> list[Packet]:
    return [Packet(p.data, p.pts, p.dts, None, p.is_keyframe) for p in media.packets]


def test_raw_frames_pass_two_stages(model: OneModel) -> None:
    stages = StreamStages(StagesConfig(), model, Limits())
    results = _all(stages, [_frame(i) for i in range(3)])
    assert [r.sequence for r in results] == [0, 1, 2]
    assert all(r.stages.luma > 0 and r.stages.chroma > 0 and r.stages.queue > 0 for r in results)
    assert all(r.stages.decode == 0 and r.stages.encode == 0 for r in results)
    assert stages.frames_in == 3


def test_raw_frames_in_any_order_of_their_work(model: OneModel) -> None:
    stages = StreamStages(StagesConfig(), model, Limits())
    steps = [stages.push(Arrival(_frame(i), i, time.perf_counter()), open_gate) for i in range(3)]
    assert stages.frames_in == 3
    results = [result for each in reversed(steps) for result in _results(each)]
    assert [r.sequence for r in results] == [2, 1, 0]
    assert list(stages.flush(open_gate)) == []
    with pytest.raises(ProtocolError, match="3 was next, not 7"):
        stages.push(Arrival(_frame(7), 7, 0.0), open_gate)


def test_a_frame_that_shares_the_processor_costs_more(model: OneModel) -> None:
    costs: list[float] = []

    def gate(_arrived_s: float, cost_s: float) -> DropReason:
        costs.append(cost_s)
        return DropReason.LATE

    sharers = iter([1, 2])
    stages = StreamStages(StagesConfig(), model, Limits(), concurrency=lambda: next(sharers))
    results = [result for i in range(2) for result in _results(stages.push(Arrival(_frame(i), i, 0.0), gate))]
    assert costs == [model.costs.current.of(64 * 48), 2 * model.costs.current.of(64 * 48)]
    assert [result.item for result in results] == [Dropped(i, DropReason.LATE) for i in range(2)]


def test_a_picture_of_known_quality_is_slow_to_take(model: OneModel) -> None:
    """That takes milliseconds, so the pipeline wants to know of it."""
    with_quality = StreamStages(StagesConfig(source_quantizer=0.0), model, Limits())
    without_quality = StreamStages(StagesConfig(), model, Limits())
    slow = []
    for i in range(26):
        arrival = Arrival(_frame(i), i, 0.0)
        slow.append(with_quality.is_slow_to_take(arrival))
        assert not without_quality.is_slow_to_take(arrival)
        with_quality.push(arrival, open_gate)
    assert [i for i, each in enumerate(slow) if each] == [0, 24]


def test_encoding_takes_time_and_all_of_it_is_told(model: OneModel) -> None:
    """x264 looks ahead, so most calls give no packet: what they took must not be lost."""
    settings = EncoderSettings("libx264", {"preset": "medium"})
    stages = StreamStages(StagesConfig(encoder=settings), model, Limits())
    started = time.perf_counter()
    results = _all(stages, [_frame(i) for i in range(20)])
    elapsed_s = time.perf_counter() - started
    assert sorted(r.sequence for r in results) == list(range(20))
    total = sum((r.stages for r in results), StageSeconds())
    assert total.encode > 0.001
    assert total.luma + total.chroma + total.encode == pytest.approx(elapsed_s, rel=0.5)


def test_a_frame_has_the_arrival_of_its_packet(model: OneModel) -> None:
    media = encode("h264", bf="3", pts=range(10))
    packets = _packets(media)
    stages = StreamStages(_decoding(media), model, Limits())
    arrived = {p.pts: float(i) for i, p in enumerate(packets)}
    arrivals = [Arrival(p, i, float(i)) for i, p in enumerate(packets)]
    ready = itertools.chain.from_iterable(stages.push(each, open_gate) for each in arrivals)
    results = list(_results(itertools.chain(ready, stages.flush(open_gate))))
    frames = [r.item for r in results if isinstance(r.item, Frame)]
    assert [f.pts for f in frames] == list(range(10))
    assert [r.arrived_s for r in results] == [arrived[f.pts] for f in frames]
    assert all(r.stages.decode > 0 for r in results)


def _decoding(media: Elementary) -> StagesConfig:
    return StagesConfig(DecoderSettings(media.codec, media.time_base, media.extradata))


def test_deinterlacing_keeps_order_and_is_decoding(model: OneModel) -> None:
    stages = StreamStages(StagesConfig(deinterlace="bwdif"), model, Limits())
    results = _all(stages, [_frame(i, interlaced=True) for i in range(6)])
    frames = [r.item for r in results if isinstance(r.item, Frame)]
    assert [f.pts for f in frames] == [r.sequence for r in results] == list(range(6))
    assert not any(f.interlaced for f in frames)
    assert all(r.stages.decode > 0 for r in results)


def test_items_that_were_not_announced(model: OneModel) -> None:
    with pytest.raises(ProtocolError, match="announced raw frames, but a packet came"):
        _all(StreamStages(StagesConfig(), model, Limits()), [Packet(b"x")])
    config = StagesConfig(DecoderSettings("vp8", Fraction(1, 25)))
    with pytest.raises(ProtocolError, match="announced packets, but a raw frame came"):
        _all(StreamStages(config, model, Limits()), [_frame(0)])


def test_the_output_limit_holds_for_what_is_decoded(model: OneModel) -> None:
    media = encode("h264", size=(64, 48), pts=range(2))
    stages = StreamStages(_decoding(media), model, Limits(max_output_pixels=64 * 48))
    with pytest.raises(LimitError, match="at x2 makes 12288 pixels"):
        _all(stages, _packets(media))
