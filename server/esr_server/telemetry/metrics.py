"""Every series that /metrics shows, on a registry of their own. The only importer of prometheus_client.

Names follow Prometheus' rules: one prefix, base units, `_total` on counters, and no label with an unbounded set of
values (no stream ids).
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from esr_server.streaming.delivery import DropReason
from esr_server.streaming.items import StageSeconds
from esr_server.telemetry.realtime import RateTracker, RateTrackers
from esr_server.telemetry.status_page import RecentFrames, Totals
from esr_upscale.engine import LoadedModel
from esr_upscale.models import Source

LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 1 / 60, 1 / 30, 1 / 24, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
"""Edges at 1/60, 1/30 and 1/24 s, so that "in real time" can be read off a bucket."""

QUANTIZER_BUCKETS = (0, 5, 10, 15, 20, 25, 30, 35, 40, 45)
_FPS_WINDOW_S = 1.0
_BATCH = 64  # frames that are counted at once: one by one, between others' work, each takes three times as long


class Metrics:
    """What the service counts and times. Safe to call, and to scrape, from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._uncounted: deque[_SentFrame] = deque()
        self.registry.register(_First(self._count_sent))
        self._fps = _FrameRates(clock)
        self._real_time = RateTrackers(clock)
        self.registry.register(self._fps)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._make_frame_series()
        self._make_stream_series()
        self._make_model_series()
        self._make_real_time_series()

    def _make_frame_series(self) -> None:
        self._frames = Counter("esr_frames", "Frames, by outcome.", ["model", "outcome"], registry=self.registry)
        self._stage = Histogram(
            "esr_frame_stage_seconds",
            "Seconds that one frame spent in one stage.",
            ["model", "stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._latency = Histogram(
            "esr_frame_latency_seconds",
            "Seconds from a frame's arrival until it was sent.",
            ["model"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )

        self._quantizer = Histogram(
            "esr_source_quantizer",
            "Quantiser of the weights that made a frame, for models with weights for sources of known quality.",
            ["model"],
            buckets=QUANTIZER_BUCKETS,
            registry=self.registry,
        )
        self._downscaler = Counter(
            "esr_source_downscaler_frames",
            "Frames made by weights for sources of known quality, by the downscaler of the weights.",
            ["model", "downscaler"],
            registry=self.registry,
        )

    def _make_stream_series(self) -> None:
        self._active = Gauge("esr_streams_active", "Running streams.", registry=self.registry)
        self._streams = Counter("esr_streams", "Streams that ended, by outcome.", ["outcome"], registry=self.registry)
        self._received_bytes = Counter(
            "esr_received_bytes", "Bytes of planes and packets received.", registry=self.registry
        )
        self._sent_bytes = Counter("esr_sent_bytes", "Bytes of planes and packets sent.", registry=self.registry)

    def _make_model_series(self) -> None:
        self._info = Gauge(
            "esr_model_info",
            "1 for each loaded model.",
            ["model", "alias", "family", "scale", "backend"],
            registry=self.registry,
        )
        self._load = Gauge(
            "esr_model_load_seconds", "Seconds to load a model and warm it up.", ["model"], registry=self.registry
        )

    def _make_real_time_series(self) -> None:
        self._dropped = Counter(
            "esr_frames_dropped", "Frames that were not upscaled, by reason.", ["reason"], registry=self.registry
        )
        self._late = Counter(
            "esr_frames_late",
            "Frames sent after their due time, of streams with a declared rate.",
            ["model"],
            registry=self.registry,
        )
        self._paced = Counter(
            "esr_frames_paced",
            "Frames sent, late or on time, of streams with a declared rate.",
            ["model"],
            registry=self.registry,
        )
        self._switches = Counter(
            "esr_model_switches", "Changes of a stream's model.", ["from", "to"], registry=self.registry
        )
        self._rejections = Counter(
            "esr_stream_rejections", "Refused streams, by reason.", ["reason"], registry=self.registry
        )
        ratio = Gauge(
            "esr_realtime_ratio",
            "Media time delivered divided by elapsed time, for streams with a declared rate, over the last 5 seconds.",
            registry=self.registry,
        )
        ratio.set_function(self._real_time.ratio)

    def watch_capacity(self, load: Callable[[], float], accepts: Callable[[], Iterable[tuple[str, str, bool]]]) -> None:
        """Show at every scrape what `load` says, and for each (model, size, yes or no) of `accepts` whether one more
        stream would be taken in.
        """
        Gauge(
            "esr_load",
            "Fraction of the machine that streams with a declared rate need; 1 is all of it.",
            registry=self.registry,
        ).set_function(load)
        self.registry.register(_Acceptance(accepts))

    @contextmanager
    def track_rate(self, fps: float | None) -> Iterator[RateTracker]:
        """Count a stream that declared a rate, as long as it runs."""
        with self._real_time.stream(fps, self._count_delivered) as tracker:
            yield tracker

    def _count_delivered(self, model: str, late: bool) -> None:
        self._paced.labels(model).inc()
        self._late.labels(model).inc(late)

    def frame_dropped(self, model: str, reason: DropReason) -> None:
        self._frames.labels(model, "dropped").inc()
        self._dropped.labels(reason.name.lower()).inc()

    def model_switched(self, before: str, after: str) -> None:
        """A stream goes on with another model."""
        self._switches.labels(before, after).inc()

    def model_loaded(self, model: LoadedModel, load_s: float) -> None:
        """A model was loaded in `load_s` seconds."""
        self._info.labels(*_info_labels(model)).set(1)
        self._load.labels(model.name).set(load_s)

    def model_unloaded(self, model: LoadedModel) -> None:
        """A model is no longer held."""
        self._info.remove(*_info_labels(model))
        self._load.remove(model.name)

    def stream_started(self) -> None:
        self._active.inc()

    def stream_ended(self, outcome: str) -> None:
        self._active.dec()
        self._streams.labels(outcome).inc()

    def stream_refused(self, reason: str) -> None:
        self._streams.labels("refused").inc()
        self._rejections.labels(reason).inc()

    def frame_sent(
        self, model: str, stages: StageSeconds, send_s: float, latency_s: float, source: Source | None = None
    ) -> None:
        """A frame was upscaled and sent. A stage that it did not pass, in no time, is not observed."""
        self._fps.count(model, latency_s)
        self._uncounted.append(_SentFrame(model, stages, send_s, latency_s, source))
        if len(self._uncounted) >= _BATCH:
            self._count_sent()

    def _count_sent(self) -> None:
        while True:
            try:
                frame = self._uncounted.popleft()
            except IndexError:  # another thread may be at it too
                return
            self._frames.labels(frame.model, "sent").inc()
            for stage, seconds in frame.seconds():
                if seconds:
                    self._stage.labels(frame.model, stage).observe(seconds)
            self._latency.labels(frame.model).observe(frame.latency_s)
            if frame.source is not None:
                self._quantizer.labels(frame.model).observe(frame.source.quantizer)
                self._downscaler.labels(frame.model, frame.source.downscaler or "any").inc()

    def recent(self) -> dict[str, RecentFrames]:
        """Return the rate and latency of each model's frames of the last second; of models that sent some."""
        return self._fps.recent()

    def totals(self) -> Totals:
        """Return what has been counted since the start."""
        self._count_sent()
        return Totals(
            frames_sent=_sum(self._frames, outcome="sent"),
            frames_late=_sum(self._late),
            frames_dropped=_sum(self._dropped),
            frames_lost=_sum(self._frames, outcome="failed"),
            streams_refused=_sum(self._rejections),
        )

    @property
    def realtime_ratio(self) -> float:
        return self._real_time.ratio()

    def frames_lost(self, model: str, count: int) -> None:
        """`count` frames came in of a stream that ended before they could be sent."""
        self._frames.labels(model, "failed").inc(count)

    def bytes_received(self, count: int) -> None:
        """Count bytes of planes or packets that came in."""
        self._received_bytes.inc(count)

    def bytes_sent(self, count: int) -> None:
        """Count bytes of planes or packets that went out."""
        self._sent_bytes.inc(count)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the format that an Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def _sum(counter: Counter, **labels: str) -> int:
    """Add up a counter over all its labels but these."""
    samples = (sample for family in counter.collect() for sample in family.samples)
    return int(
        sum(
            sample.value
            for sample in samples
            if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
        )
    )


def _info_labels(model: LoadedModel) -> tuple[str, ...]:
    """Values of the labels of `esr_model_info`."""
    spec = model.spec
    alias = spec.alias if model.name == spec.canonical_id else None  # own weights have one name
    return model.name, alias or "", spec.family, str(spec.scale), model.backend


@dataclass(frozen=True, slots=True)
class _SentFrame:
    model: str
    stages: StageSeconds
    send_s: float
    latency_s: float
    source: Source | None

    def seconds(self) -> Iterator[tuple[str, float]]:
        stages = self.stages
        yield "decode", stages.decode
        yield "queue", stages.queue
        yield "luma", stages.luma
        yield "chroma", stages.chroma
        yield "encode", stages.encode
        yield "send", self.send_s


class _First(Collector):
    """Shows nothing; does something before a scrape."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def collect(self) -> Iterable[GaugeMetricFamily]:
        self._action()
        return ()


class _FrameRates(Collector):
    """`esr_fps`: frames sent in the last second, counted when it is scraped, so that it falls to 0 by itself."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._frames: defaultdict[str, deque[tuple[float, float]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def count(self, model: str, latency_s: float) -> None:
        with self._lock:
            frames = self._frames[model]
            frames.append((self._clock(), latency_s))
            self._forget(frames)

    def recent(self) -> dict[str, RecentFrames]:
        rates: dict[str, RecentFrames] = {}
        with self._lock:
            for model, frames in self._frames.items():
                self._forget(frames)
                latencies_s = [latency_s for _, latency_s in frames]
                if latencies_s:
                    fps = len(latencies_s) / _FPS_WINDOW_S
                    rates[model] = RecentFrames(fps, statistics.median(latencies_s), max(latencies_s))
        return rates

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("esr_fps", "Frames sent in the last second.", labels=["model"])
        with self._lock:
            for model, frames in self._frames.items():
                self._forget(frames)
                family.add_metric([model], len(frames) / _FPS_WINDOW_S)
        yield family

    def _forget(self, frames: deque[tuple[float, float]]) -> None:
        since = self._clock() - _FPS_WINDOW_S
        while frames and frames[0][0] <= since:
            frames.popleft()


class _Acceptance(Collector):
    """`esr_can_accept`: asked when it is scraped."""

    def __init__(self, accepts: Callable[[], Iterable[tuple[str, str, bool]]]) -> None:
        self._accepts = accepts

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "esr_can_accept",
            "1 if one more stream of this size at 30 frames per second would be admitted.",
            labels=["model", "size"],
        )
        for model, size, fits in self._accepts():
            family.add_metric([model, size], float(fits))
        yield family
