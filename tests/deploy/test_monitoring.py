"""What deploy/ tells Prometheus and Grafana fits what the server shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from esr_server.streaming.delivery import DropReason
from esr_server.streaming.items import StageSeconds
from tests.support.calls import raw_config, raw_frame, stub_of, upscale
from tests.support.server import running

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, of the Debian package prometheus")


def _promtool(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run((PROMTOOL, *arguments), input=text, capture_output=True, text=True, timeout=60, check=False)


@needs_promtool
def test_the_configuration_is_valid() -> None:
    result = _promtool("check", "config", str(DEPLOY / "prometheus.yml"))
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
async def test_the_exposition_follows_prometheus_rules() -> None:
    async with running() as server, stub_of(server) as stub:
        await upscale(stub, [raw_config(), raw_frame(0)])
        text = server.metrics.render("")[0].decode()
    result = await asyncio.to_thread(_promtool, "check", "metrics", text=text)
    complaints = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("esr_")]
    assert not complaints
    assert result.returncode in (0, 3), result.stderr  # 3: it also lints the process's own series


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the Debian package prometheus")
async def test_a_real_prometheus_reads_the_server(tmp_path: Path) -> None:
    async with running() as server, stub_of(server) as stub:
        assert server.http is not None
        await upscale(stub, [raw_config(), *map(raw_frame, range(5))])
        config = (DEPLOY / "prometheus.yml").read_text()
        config = config.replace("127.0.0.1:9109", f"127.0.0.1:{server.http.port}").replace("5s", "1s")
        (tmp_path / "prometheus.yml").write_text(config)
        shutil.copy(DEPLOY / "alerts.yml", tmp_path)
        assert await _asked_of_prometheus(tmp_path, 'esr_frames_total{outcome="sent"}') == "5"


async def _asked_of_prometheus(folder: Path, query: str) -> str:
    """Run Prometheus in `folder` until it answers a query, at most 30 s; the value of the first series."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://{address}/api/v1/query?query={urllib.parse.quote(query)}"
        for _ in range(60):
            await asyncio.sleep(0.5)
            with contextlib.suppress(OSError):  # it does not listen yet
                answer = await asyncio.to_thread(_fetch, url)
                if answer["data"]["result"]:
                    return str(answer["data"]["result"][0]["value"][1])
        pytest.fail("Prometheus had nothing to say in 30 s")
    finally:
        process.terminate()
        await process.wait()


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


@needs_promtool
def test_alerts_fire_for_what_was_promised(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).parent / "alerts_test.yml", tmp_path)
    result = _promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert result.returncode == 0, result.stdout + result.stderr
    alerts = set(re.findall(r"alert: (\w+)", (DEPLOY / "alerts.yml").read_text()))
    cases = (Path(__file__).parent / "alerts_test.yml").read_text()
    for alert in alerts:
        assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", cases), f"no case has {alert} fire"
        assert re.search(rf"alertname: {alert}, exp_alerts: \[\]", cases), f"no case has {alert} not fire"


def _dashboard() -> dict[str, str]:
    """The expressions of the dashboard, by the title of their panel."""
    dashboard = json.loads((DEPLOY / "grafana" / "edge-sr.json").read_text())
    return {panel["title"]: " ".join(t["expr"] for t in panel["targets"]) for panel in dashboard["panels"]}


async def test_dashboard_and_alerts_name_real_series() -> None:
    async with running() as server:
        metrics = server.metrics
        metrics.frame_sent("m", StageSeconds(luma=0.001), 0, 0)
        metrics.frames_lost("m", 1)
        metrics.frame_dropped("m", DropReason.LATE)
        metrics.model_switched("m", "n")
        metrics.stream_ended("finished")
        metrics.stream_refused("busy")
        with metrics.track_rate(25) as paced:
            paced.delivered("m", late=True)
        samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    series = {sample.name for sample in samples}
    labels = {label for sample in samples for label in sample.labels} | {"instance", "job"}
    text = " ".join(_dashboard().values()) + " " + (DEPLOY / "alerts.yml").read_text()
    names = set(re.findall(r"\b(?:esr|process)_[a-z_]+\b", text))
    assert len(names) > 14
    assert names <= series
    group_labels = {label for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(", ")}
    assert group_labels <= labels


@pytest.mark.parametrize(
    "series",
    ["load", "can_accept", "realtime_ratio", "frames_late_total", "frames_dropped_total", "model_switches_total",
     "stream_rejections_total", "fps", "frame_latency_seconds_bucket"],
)  # fmt: skip
def test_the_dashboard_shows(series: str) -> None:
    assert any(f"esr_{series}" in expressions for expressions in _dashboard().values())


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "edge-sr.json").read_text())
    cells = [
        (column, row)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for column in range(place["x"], place["x"] + place["w"])
        for row in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
