"""The status page, as a browser gets it."""

from __future__ import annotations

import asyncio
import http.client
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.app import Server
from esr_server.models.catalog import Catalog
from esr_server.models.cost import Cost
from esr_server.models.served import ModelEntry
from esr_server.telemetry.status_page import RecentFrames, Status, Totals, render
from tests.support.calls import raw_config, raw_frame, stub_of, upscale
from tests.support.server import running

CHROMIUM = shutil.which("chromium")
STATUS = Status(
    state="serving",
    version="1.2.3",
    uptime_s=90061,
    addresses="gRPC on 127.0.0.1:50051, unix:/run/edge-sr/socket, HTTP on http://127.0.0.1:9109",
    streams=3,
    load=0.634,
    realtime_ratio=0.987,
    totals=Totals(frames_sent=1234567, frames_late=89, frames_dropped=4321, frames_lost=5, streams_refused=7),
    recent={"esr_tr_x2_k5_c2": RecentFrames(89.0, 0.0123, 0.0456)},
)


def _entries() -> list[ModelEntry]:
    loaded = {"esr_tr_x2_k5_c2", "esr_max_x2_k5_c2", "bicubic_x2"}
    return [
        ModelEntry(source, "fused", Cost(0.001, 1e-8) if source.name in loaded else None, ())
        for source in Catalog().sources()
    ]


def _get(server: Server) -> str:
    assert server.http is not None
    connection = http.client.HTTPConnection("127.0.0.1", server.http.port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _figures(page: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))


def test_render_puts_loaded_models_first() -> None:
    page = render(STATUS, _entries()).decode()
    loaded, others = page.split("<h2>Other models</h2>")
    assert re.findall(r"<td>(\w+)</td>", loaded) == ["bicubic_x2", "esr_max_x2_k5_c2", "esr_tr_x2_k5_c2"]
    assert "<td>esr_tr_x3_k5_c2</td>" in others
    assert '<td>esr_tr_x2_k5_c2</td><td class="n">89</td><td class="n">12.3</td><td class="n">45.6</td>' in loaded
    assert '<td class="n">6.2</td>' in loaded  # 1 ms and 10 ns for each of 960 × 540 pixels
    assert "version 1.2.3, up 1 d 1 h" in page


def test_render_figures() -> None:
    assert _figures(render(STATUS, _entries()).decode()) == {
        "streams": "3",
        "frames/s": "89",
        "load": "63%",
        "real time": "99%",
        "frames sent": "1.235 M",
        "late": "89",
        "dropped": "4,321",
        "lost": "5",
        "refused": "7",
    }


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 min 0 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")])
def test_render_uptime(seconds: float, text: str) -> None:
    status = Status(state="a<b", version="1", uptime_s=seconds, addresses="", streams=0, load=0.0, realtime_ratio=1.0)
    page = render(status, ()).decode()
    assert f"up {text}." in page
    assert "edge-sr is a&lt;b" in page


async def test_the_page_follows_a_stream() -> None:
    rate = pb.Rational(num=5, den=1)
    async with running() as server, stub_of(server) as stub:
        call = stub.Upscale()
        await call.write(raw_config(target_fps=rate))
        await call.read()
        for number in range(3):
            await call.write(raw_frame(number))
            await call.read()
        during = await asyncio.to_thread(_get, server)
        await call.done_writing()
        await call.read()
        await upscale(stub, [raw_config(target_fps=pb.Rational(num=10**9, den=1))])
        after = _figures(await asyncio.to_thread(_get, server))
    figures = _figures(during)
    assert (figures["streams"], figures["frames sent"], figures["frames/s"]) == ("1", "3", "3")
    assert re.search(r'<td>bicubic_x2</td><td class="n">3</td><td class="n">[0-9.]+</td>', during)
    assert "edge-sr is serving" in during
    assert f"gRPC on 127.0.0.1:{server.grpc.ports[0]}, HTTP on http://127.0.0.1:" in during
    assert (after["refused"], after["lost"], after["dropped"]) == ("1", "0", "0")


@pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium")
@pytest.mark.parametrize("width", [320, 375, 1200])
def test_the_page_fits(width: int, tmp_path: Path) -> None:
    """Nothing is wider than the window, which is that of a frame in a page: a window itself is 500 px at least."""
    assert CHROMIUM is not None
    page = render(STATUS, _entries()).decode().replace('<meta http-equiv="refresh" content="5">', "")
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "frame.html").write_text(
        f"""<iframe src="page.html" style="width:{width}px;height:2000px;border:0"></iframe><pre></pre><script>
        onload = () => document.querySelector("pre").textContent =
            `widths ${{frames[0].document.documentElement.scrollWidth}} ${{frames[0].innerWidth}}`;
        </script>"""
    )
    command = (CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files")
    url = (tmp_path / "frame.html").as_uri()
    flags = (f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom")
    result = subprocess.run((*command, *flags, url), capture_output=True, text=True, timeout=60, check=True)
    match = re.search(r"widths (\d+) (\d+)", result.stdout)
    assert match, result.stdout + result.stderr
    assert int(match[1]) <= int(match[2]) == width
