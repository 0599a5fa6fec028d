"""Progress: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from esr_workbench.commands.progress import show_progress
from tests.support.pictures import write_tiles


def test_lines_where_there_is_no_terminal() -> None:
    text, times = io.StringIO(), iter([0.0, 5.0, 10.0, 15.0, 20.5])
    with show_progress("judging", Console(file=text), lambda: next(times)) as show:
        for step in (1, 2, 3, 4):
            show(step, 4 if step < 4 else None, "loss [0.1]" if step == 2 else "")
    assert text.getvalue() == "judging: 2 of 4, loss [0.1], 10 s\njudging: 4, 20 s\n"


def test_eval_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """Run `esr eval` with a terminal for standard error and a pipe for standard output."""
    tiles = write_tiles(tmp_path / "tiles", 2)
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "esr_workbench.cli", "eval", "bicubic_x2", "--data", str(tiles)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    output = b""
    try:
        while part := os.read(main, 4096):
            output += part
    except OSError:  # so a terminal says that the other side has closed it
        pass
    os.close(main)
    table, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert b"judging pictures" in output
    assert b"4/4" in output
    assert table.startswith(b"| model")
