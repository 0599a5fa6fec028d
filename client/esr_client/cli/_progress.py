"""How far a job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from esr_client.files import Progress

_LINE_EVERY_S = 10.0


class Display(Protocol):
    """A display of the progress of one job."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, state: Progress) -> None:
        """Show how far the job is."""


def display_for(console: Console, name: str) -> Display:
    """Return a bar on a terminal, and lines elsewhere."""
    return BarDisplay(console, name) if console.is_terminal else LineDisplay(console, name)


class BarDisplay:
    """A bar with frames, FPS and the time left."""

    def __init__(self, console: Console, name: str) -> None:
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(show_speed=False),
            TextColumn("{task.fields[counted]} frames, {task.fields[fps]:.1f} FPS, ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(name, total=None, counted="0", fps=0.0)

    def show(self, state: Progress) -> None:
        count = f"{state.frames}/{state.total}" if state.total else str(state.frames)
        fps = state.frames / state.elapsed_s if state.elapsed_s else 0.0
        self._bar.update(self._task, completed=state.frames, total=state.total, counted=count, fps=fps)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class LineDisplay:
    """A line every ten seconds, for logs."""

    def __init__(self, console: Console, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._name = name
        self._clock = clock
        self._next_s = clock() + _LINE_EVERY_S

    def show(self, state: Progress) -> None:
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _LINE_EVERY_S
        fps = state.frames / state.elapsed_s if state.elapsed_s else 0.0
        text = f"{self._name}: {state.frames} frames at {fps:.1f} FPS"
        if state.total and fps:
            remaining_s = round(max(0, state.total - state.frames) / fps)
            text = (
                f"{self._name}: {state.frames}/{state.total} frames at {fps:.1f} FPS, "
                f"ETA {remaining_s // 3600}:{remaining_s // 60 % 60:02}:{remaining_s % 60:02}"
            )
        self._console.print(text, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
