"""What deploy/ tells Prometheus and Grafana fits what the server shows."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from esr_server.metrics import Metrics
from esr_server.session import StageTimes
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
    done = _promtool("check", "config", str(DEPLOY / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
async def test_the_exposition_follows_prometheus_rules() -> None:
    async with running() as server, stub_of(server) as stub:
        await upscale(stub, [raw_config(), raw_frame(0)])
        text = server.metrics.render("")[0].decode()
    done = await asyncio.to_thread(_promtool, "check", "metrics", text=text)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("esr_")]
    assert not complaints
    assert done.returncode in (0, 3), done.stderr  # 3: it also lints the process's own series


def test_dashboard_and_alerts_name_only_series_that_exist() -> None:
    metrics = Metrics()
    metrics.frame_sent("m", StageTimes(), 0, 0)
    metrics.frames_lost("m", 1)
    metrics.stream_ended("finished")
    known = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    known |= {"esr_model_info", "esr_model_load_seconds"}
    dashboard = json.loads((DEPLOY / "grafana" / "edge-sr.json").read_text())
    text = " ".join(t["expr"] for panel in dashboard["panels"] for t in panel["targets"])
    text += " " + (DEPLOY / "alerts.yml").read_text()
    named = set(re.findall(r"\b(?:esr|process)_[a-z_]+\b", text))
    assert len(named) > 8
    assert named <= known
