"""`esr-client`: files through a server, from the command line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from esr_client._client import Client, connect
from esr_client._errors import EsrError
from esr_client._interrupt import interruptible
from esr_client._private_server import PrivateServer
from esr_client._results import ModelInfo
from esr_client.files import ENCODERS, Encode, FileReport, FileSettings, upscale_file
from esr_client.files import Progress as FileProgress

DEFAULT_MODEL = "esr_tr_x2"
DEFAULT_SERVER = "127.0.0.1:50051"
_INTERRUPTED = 130
_ADMIN_TOKEN = "ESR_ADMIN_TOKEN"
_LOAD_TIMEOUT_S = 600.0  # a small machine may compile kernels for minutes
_TIMED_SIZE = (960, 540)  # made into 1080p at ×2

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server", envvar="ESR_SERVER", help="HOST[:PORT] or unix:PATH. Without it, a private server is started."
    ),
]

RunningServerOption = Annotated[str, typer.Option("--server", envvar="ESR_SERVER", help="HOST[:PORT] or unix:PATH.")]

app = typer.Typer(
    help="Upscale video with a server of edge-sr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _console() -> Console:
    return Console(stderr=True, highlight=False)


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """One clear line and an exit code instead of a traceback."""
    try:
        yield
    except (EsrError, ValueError) as error:
        _console().print(f"esr-client: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _console().print("esr-client: interrupted", style="red")
        raise typer.Exit(_INTERRUPTED) from None


@contextlib.contextmanager
def _client(server: str | None, model: str) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        if server is None:
            private = stack.enter_context(PrivateServer(model))
            with _console().status(f"starting a private server with {model}"):
                interruptible(private.wait, private.close)
            server = private.target
        yield stack.enter_context(connect(server))


@app.command()
def upscale(
    source: Annotated[str, typer.Argument(metavar="IN", help="A file, or any URL that FFmpeg opens, live ones too.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="It appears when it is whole.")],
    model: Annotated[str, typer.Option(help="See `esr-client models`.")] = DEFAULT_MODEL,
    server: ServerOption = None,
    codec: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(ENCODERS)}. [default: libvpx-vp9 for .webm, else libx264]"),
    ] = None,
    crf: Annotated[int | None, typer.Option(min=0, max=63, help="Quality; smaller is better and larger.")] = None,
    preset: Annotated[str | None, typer.Option(help="Speed, in the codec's own words.")] = None,
    encode: Annotated[Encode, typer.Option(help="Who encodes the upscaled frames.")] = Encode.CLIENT,
    deinterlace: Annotated[str, typer.Option(metavar="bwdif", help="Without it interlaced video is refused.")] = "",
    skip_undecodable: Annotated[
        bool, typer.Option("--skip-undecodable", help="Go on after a packet that cannot be decoded.")
    ] = False,
    duration: Annotated[
        float | None, typer.Option(min=0, help="End after so many seconds of IN; for live inputs, which do not end.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Upscale the video of IN; audio, subtitles, chapters and metadata are copied."""
    settings = FileSettings(
        model=model,
        codec=codec,
        crf=crf,
        preset=preset,
        encode=encode,
        deinterlace=deinterlace,
        skip_undecodable=skip_undecodable,
        duration_s=duration,
        overwrite=overwrite,
    )
    console = _console()
    with _reported(), _client(server, model) as client:
        report = interruptible(lambda: _upscale_with_progress(client, source, out, settings, console), client.close)
        console.print(_summary(out, report), markup=False, soft_wrap=True)


def _upscale_with_progress(
    client: Client, source: str, out: Path, settings: FileSettings, console: Console
) -> FileReport:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TextColumn("{task.fields[counted]} frames, {task.fields[fps]:.1f} FPS, ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(out.name, total=None, counted="0", fps=0.0)

        def show(state: FileProgress) -> None:
            counted = f"{state.frames}/{state.total}" if state.total else str(state.frames)
            fps = state.frames / state.elapsed_s if state.elapsed_s else 0.0
            bar.update(task, completed=state.frames, total=state.total, counted=counted, fps=fps)

        def remark(text: str) -> None:
            console.print(f"note: {text}", style="yellow", markup=False, soft_wrap=True)

        return upscale_file(client, source, out, settings, progress=show, notice=remark)


def _summary(out: Path, report: FileReport) -> str:
    fps = report.frames / report.elapsed_s if report.elapsed_s else 0.0
    echo = report.negotiated
    return (
        f"{out}: {report.frames} frames at {fps:.1f} FPS, {echo.model} on {echo.engine}, "
        f"{len(report.copied)} other streams copied"
    )


@app.command()
def models(server: ServerOption = None) -> None:
    """List the models of a server."""
    with _reported(), _client(server, DEFAULT_MODEL) as client:
        Console(highlight=False).print(_table(interruptible(client.models, client.close)))


def _table(rows: tuple[ModelInfo, ...]) -> Table:
    sets = sorted({name for row in rows for name in row.psnr_db})
    psnr = [f"dB on\n{name}" for name in sets]
    timed = any(row.seconds_for(*_TIMED_SIZE) for row in rows)
    times = [f"ms for\n{_TIMED_SIZE[0]}x{_TIMED_SIZE[1]}"] if timed else []
    # What is timed is loaded: one column says both, and the table keeps to 100 columns.
    names = ("model", "alias", "scale", "params", "MACs\n/px", *psnr, "engine", *(times or ["loaded"]))
    table = Table(*names, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for row in rows:
        numbers = (f"x{row.scale}", f"{row.parameters:,}", f"{row.macs_per_pixel:,}")
        quality = [f"{row.psnr_db[name]:.2f}" if name in row.psnr_db else "" for name in sets]
        ready = _milliseconds(row) if timed else "yes" if row.loaded else ""
        table.add_row(row.model, row.alias, *numbers, *quality, row.engine, ready)
    return table


def _milliseconds(row: ModelInfo) -> str:
    seconds = row.seconds_for(*_TIMED_SIZE)
    return f"{1000 * seconds:.2f}" if seconds else ""


ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="See `esr-client models`.")]


@app.command()
def load(model: ModelArgument, server: RunningServerOption = DEFAULT_SERVER) -> None:
    """Load a model into a running server. The admin token is read from ESR_ADMIN_TOKEN."""
    _administer(server, lambda client: client.load_model(model, timeout_s=_LOAD_TIMEOUT_S))


@app.command()
def unload(model: ModelArgument, server: RunningServerOption = DEFAULT_SERVER) -> None:
    """Let a running server go of a model. The admin token is read from ESR_ADMIN_TOKEN."""
    _administer(server, lambda client: client.unload_model(model))


def _administer(server: str, call: Callable[[Client], ModelInfo]) -> None:
    with _reported():
        # Not from an option: everybody on this machine can see those.
        token = os.environ.get(_ADMIN_TOKEN, "").strip()
        if not token:
            raise ValueError(f"{_ADMIN_TOKEN} is not set: it holds the token that the server was started with")
        with connect(server, admin_token=token) as client:
            info = interruptible(lambda: call(client), client.close)
        typer.echo(f"{info.model}: {f'loaded on {info.engine}' if info.loaded else 'not loaded'}")


@app.command()
def status(server: RunningServerOption = DEFAULT_SERVER) -> None:
    """Ask a server for its health. The exit code is 0 only if it serves."""
    with _reported(), connect(server) as client:
        found = interruptible(client.status, client.close)
        for name, state in (("server", found.overall), *found.services.items()):
            typer.echo(f"{name}: {state.value}")
    raise typer.Exit(0 if found.serving else 1)


def _ask_to_exit(_number: int, _frame: FrameType | None) -> None:
    # As an exception, so that what is not whole is removed and a private server ended.
    sys.exit(128 + signal.SIGTERM)


def main() -> None:
    """Entry point of `esr-client`."""
    signal.signal(signal.SIGTERM, _ask_to_exit)
    app()


if __name__ == "__main__":
    main()
