"""How far a command is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0


class Report(Protocol):
    """What is told how far a command is."""

    def __call__(self, step: int, total: int | None, note: str = "") -> None:
        """Show that `step` of `total` steps are done; None is a total that is not known. A note has figures."""
        ...


@contextmanager
def show_progress(
    title: str, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Report]:
    """Show progress on `console`, standard error by default, until the block ends."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(title, console, clock)
        return
    text, note = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[note]}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), note, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, note="")

        def show(step: int, total: int | None, note: str = "") -> None:
            bar.update(task, completed=step, total=total, note=note)

        yield show


def _lines(title: str, console: Console, clock: Callable[[], float]) -> Report:
    start_s = clock()
    next_s = start_s + LINE_EVERY_S

    def show(step: int, total: int | None, note: str = "") -> None:
        nonlocal next_s
        now_s = clock()
        if now_s < next_s:
            return
        next_s = now_s + LINE_EVERY_S
        count = f"{step} of {total}" if total else f"{step}"
        figures = f", {note}" if note else ""
        console.print(f"{title}: {count}{figures}, {now_s - start_s:.0f} s", markup=False, soft_wrap=True)

    return show
