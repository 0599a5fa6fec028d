"""Progress where there is no terminal."""

from __future__ import annotations

import io

from rich.console import Console

from esr_client.cli._progress import BarDisplay, LineDisplay, display_for
from esr_client.files import Progress


def test_lines_come_every_ten_seconds() -> None:
    text, now_s = io.StringIO(), 100.0
    display = LineDisplay(Console(file=text, width=200), "out.mp4", clock=lambda: now_s)
    with display:
        display.show(Progress(1, 1000, 0.1))
        now_s = 111.0
        display.show(Progress(100, 1000, 10.0))
        now_s = 112.0
        display.show(Progress(110, 1000, 11.0))
        now_s = 121.5
        display.show(Progress(200, None, 20.0))
    assert text.getvalue().splitlines() == [
        "out.mp4: 100/1000 frames at 10.0 FPS, ETA 0:01:30",
        "out.mp4: 200 frames at 10.0 FPS",
    ]


def test_a_terminal_gets_a_bar() -> None:
    assert isinstance(display_for(Console(file=io.StringIO(), force_terminal=True), "x"), BarDisplay)
    assert isinstance(display_for(Console(file=io.StringIO()), "x"), LineDisplay)


def test_bar_shows_frames() -> None:
    text = io.StringIO()
    display = BarDisplay(Console(file=text, force_terminal=True, width=120), "out.mp4")
    with display:
        display.show(Progress(10, 40, 1.0))
    assert "10/40 frames, 10.0 FPS" in text.getvalue()
