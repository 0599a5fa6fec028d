"""Reading a server's /metrics as a dashboard does."""

from __future__ import annotations

import math
import urllib.request
from collections import defaultdict
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

STAGES = ("decode", "queue", "luma", "chroma", "encode", "send")


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts by upper edge, in seconds, the last one infinite."""

    buckets: tuple[tuple[float, float], ...]

    def __sub__(self, earlier: Histogram) -> Histogram:
        """Return what was observed since an earlier state of the same histogram."""
        counts = dict(earlier.buckets)
        return Histogram(tuple((edge, count - counts.get(edge, 0.0)) for edge, count in self.buckets))

    @property
    def count(self) -> float:
        return self.buckets[-1][1] if self.buckets else 0.0

    def quantile(self, q: float) -> float:
        """Return the q-quantile in seconds, linear within a bucket as PromQL's histogram_quantile; NaN when empty."""
        if not self.count:
            return math.nan
        rank, lower, below = q * self.count, 0.0, 0.0
        for edge, cumulative in self.buckets:
            if cumulative >= rank:
                if math.isinf(edge):
                    return lower
                return lower + (edge - lower) * (rank - below) / (cumulative - below)
            lower, below = edge, cumulative
        return lower


@dataclass(frozen=True, slots=True)
class Scrape:
    """What the demo's table shows of one model."""

    frames: int
    stages: dict[str, Histogram]
    latency: Histogram

    def __sub__(self, earlier: Scrape) -> Scrape:
        """Return what came since an earlier scrape."""
        empty = Histogram(())
        stages = {name: histogram - earlier.stages.get(name, empty) for name, histogram in self.stages.items()}
        return Scrape(self.frames - earlier.frames, stages, self.latency - earlier.latency)


def scrape(http: str, model: str) -> Scrape:
    """Read /metrics of the server at `http` ("HOST:PORT") for one model's canonical id."""
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=10) as response:
        text = response.read().decode()
    frames = 0
    stages: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    latency: list[tuple[float, float]] = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("model") != model:
                continue
            if sample.name == "esr_frames_total" and sample.labels["outcome"] == "sent":
                frames = int(sample.value)
            elif sample.name == "esr_frame_stage_seconds_bucket":
                stages[sample.labels["stage"]].append((float(sample.labels["le"]), sample.value))
            elif sample.name == "esr_frame_latency_seconds_bucket":
                latency.append((float(sample.labels["le"]), sample.value))
    return Scrape(frames, {name: Histogram(tuple(b)) for name, b in stages.items()}, Histogram(tuple(latency)))
