"""The series of /metrics: names, units, buckets and what they count."""

from __future__ import annotations

import pytest

from esr_server.streaming.items import StageSeconds
from esr_server.telemetry.metrics import LATENCY_BUCKETS_S, Metrics

STAGES = StageSeconds(decode=0.001, queue=0.002, luma=0.003, chroma=0.004, encode=0.005)


class Clock:
    """Time by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_sent_frame_shows_in_every_series_of_frames() -> None:
    metrics = Metrics()
    metrics.frame_sent("m", STAGES, 0.006, 0.02)
    value = metrics.registry.get_sample_value
    assert value("esr_frames_total", {"model": "m", "outcome": "sent"}) == 1
    sums = [
        value("esr_frame_stage_seconds_sum", {"model": "m", "stage": stage})
        for stage in ("decode", "queue", "luma", "chroma", "encode", "send")
    ]
    assert sums == [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]
    assert value("esr_frame_latency_seconds_sum", {"model": "m"}) == 0.02


def test_a_stage_not_passed_is_not_observed() -> None:
    metrics = Metrics()
    metrics.frame_sent("m", StageSeconds(luma=0.003), 0.006, 0.02)
    count = metrics.registry.get_sample_value
    assert count("esr_frame_stage_seconds_count", {"model": "m", "stage": "luma"}) == 1
    assert count("esr_frame_stage_seconds_count", {"model": "m", "stage": "encode"}) is None


def test_real_time_can_be_read_off_a_bucket() -> None:
    assert {1 / 60, 1 / 30, 1 / 24} <= set(LATENCY_BUCKETS_S)
    assert list(LATENCY_BUCKETS_S) == sorted(LATENCY_BUCKETS_S)


def test_fps_is_of_the_last_second_and_falls_by_itself() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    for _ in range(50):
        clock.now_s += 1 / 25
        metrics.frame_sent("m", STAGES, 0, 0)
    value = metrics.registry.get_sample_value
    assert value("esr_fps", {"model": "m"}) == pytest.approx(25, abs=1)
    clock.now_s += 0.5
    assert value("esr_fps", {"model": "m"}) == pytest.approx(12, abs=1)
    clock.now_s += 1
    assert value("esr_fps", {"model": "m"}) == 0


def test_streams_and_bytes() -> None:
    metrics = Metrics()
    metrics.stream_started()
    metrics.stream_started()
    metrics.stream_ended("finished")
    metrics.stream_refused("busy")
    metrics.bytes_received(10)
    metrics.bytes_sent(40)
    metrics.frames_lost("m", 3)
    value = metrics.registry.get_sample_value
    assert value("esr_streams_active") == 1
    assert value("esr_streams_total", {"outcome": "finished"}) == 1
    assert value("esr_streams_total", {"outcome": "refused"}) == 1
    assert value("esr_stream_rejections_total", {"reason": "busy"}) == 1
    assert value("esr_received_bytes_total") == 10
    assert value("esr_sent_bytes_total") == 40
    assert value("esr_frames_total", {"model": "m", "outcome": "failed"}) == 3


def test_the_process_series_are_of_this_registry() -> None:
    one, other = Metrics(), Metrics()
    assert one.registry.get_sample_value("process_resident_memory_bytes")
    one.bytes_received(5)
    assert other.registry.get_sample_value("esr_received_bytes_total") == 0


@pytest.mark.parametrize(
    ("accept", "kind"), [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics")]
)
def test_both_expositions(accept: str, kind: str) -> None:
    body, content_type = Metrics().render(accept)
    assert content_type.startswith(kind)
    assert b"# TYPE esr_frame_latency_seconds histogram" in body
