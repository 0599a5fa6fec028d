"""`esr-client upscale`."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from esr_client._errors import EsrError
from esr_client.cli._app import ServerOption, Services, app, error_console, print_error, report_errors
from esr_client.cli._interrupt import interruptible
from esr_client.cli._progress import display_for
from esr_client.cli._values import parse_model, parse_ratio, parse_size, parse_time
from esr_client.files import (
    CODEC_NAMES,
    ENCODERS,
    Encode,
    FileJob,
    FileSettings,
    InputSettings,
    Interrupt,
    Media,
    Task,
    WantedSize,
    plan_tasks,
)
from esr_client.files.pictures import PictureJob, PictureSettings

_WINDOW = "Which part"
_SIZE = "Size and model"
_ENCODING = "Encoding"
_RAW = "Formats of pipes and raw video"
_MANY = "Many files"


def _option(panel: str, text: str, metavar: str | None = None, *names: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, metavar=metavar, rich_help_panel=panel)
    return option


@app.command(no_args_is_help=True)
def upscale(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="IN... OUT",
            help="Inputs: files, folders, patterns, URLs for FFmpeg, or - for standard input. Last, the output: "
            "a file, a folder, a URL (rtmp, udp, rtsp), or - for standard output.",
        ),
    ],
    model: Annotated[
        str | None,
        _option(
            _SIZE,
            "Model; see `esr-client models`. Default: esr_stack at the scale that is needed, x2. "
            "NAME=FILE uses your own weights, without --server.",
        ),
    ] = None,
    scale: Annotated[str | None, _option(_SIZE, "Factor of width and height, up to 4, such as 1.5.", "NUMBER")] = None,
    width: Annotated[int | None, _option(_SIZE, "Width of the output; the height follows.", "PIXELS")] = None,
    height: Annotated[int | None, _option(_SIZE, "Height of the output; the width follows.", "PIXELS")] = None,
    server: ServerOption = None,
    codec: Annotated[
        str | None,
        _option(
            _ENCODING,
            f"One of {', '.join(CODEC_NAMES)}, or FFmpeg's {', '.join(ENCODERS)}. "
            "Default: vp9 for .webm, rawvideo for .y4m, h264 for others.",
        ),
    ] = None,
    crf: Annotated[
        int | None,
        _option(
            _ENCODING,
            "Quality; lower is better, with a larger file. h264 and hevc: 0 to 51, default 18 and 20; "
            "vp9 and av1: 0 to 63, default 24.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        _option(
            _ENCODING,
            "Speed. h264 and hevc: ultrafast to placebo, default medium; vp9: 0 to 8, default 4; "
            "av1: 2 to 13, default 8.",
        ),
    ] = None,
    encode: Annotated[
        Encode, _option(_ENCODING, "Side that encodes. `server` sends no raw frames over the network.")
    ] = Encode.CLIENT,
    deinterlace: Annotated[
        str, _option(_SIZE, "Deinterlacing filter. Interlaced video is refused without it.", "bwdif")
    ] = "",
    start: Annotated[str, _option(_WINDOW, "Start, in seconds or [HH:]MM:SS.", "TIME")] = "0",
    duration: Annotated[str | None, _option(_WINDOW, "Duration. Live inputs have no end.", "TIME")] = None,
    to: Annotated[str | None, _option(_WINDOW, "End, instead of --duration.", "TIME")] = None,
    skip_undecodable: Annotated[
        bool,
        _option(_WINDOW, "Skip damaged packets, and count them.", None, "--skip-undecodable"),
    ] = False,
    input_format: Annotated[
        str | None, _option(_RAW, "Container of IN: y4m, nut, matroska, mpegts, rawvideo, ...", "NAME")
    ] = None,
    input_size: Annotated[str | None, _option(_RAW, "Size of rawvideo.", "WIDTHxHEIGHT")] = None,
    input_rate: Annotated[
        str | None, _option(_RAW, "Frames per second of rawvideo or of numbered pictures. Default: 25.", "NUMBER")
    ] = None,
    input_pixel_format: Annotated[str | None, _option(_RAW, "Pixel format of rawvideo: yuv420p, ...", "NAME")] = None,
    output_format: Annotated[
        str | None, _option(_RAW, "Container of OUT. Default: by its suffix; matroska for standard output.", "NAME")
    ] = None,
    recursive: Annotated[bool, _option(_MANY, "Include subfolders.", None, "--recursive", "-r")] = False,
    skip_existing: Annotated[bool, _option(_MANY, "Skip inputs whose output exists.", None, "--skip-existing")] = False,
    overwrite: Annotated[bool, _option(_MANY, "Replace outputs that exist.", None, "--overwrite")] = False,
) -> None:
    """Upscale video and pictures. Audio, subtitles, chapters and metadata are copied.

    Examples: `esr-client upscale in.mp4 out.mp4`, `esr-client upscale --height 1080 films/ upscaled/`,
    `ffmpeg -i in.mp4 -f matroska - | esr-client upscale - - | ffplay -`.
    """
    with report_errors():
        if overwrite and skip_existing:
            raise ValueError("give either --overwrite or --skip-existing, not both")
        if len(paths) < 2:
            raise ValueError(f"an output is missing: esr-client upscale {paths[0]} OUT")
        name, own_model = parse_model(model, server)
        settings = FileSettings(
            model=name,
            size=WantedSize(width=width, height=height, scale=parse_ratio(scale) if scale else None),
            codec=codec,
            crf=crf,
            preset=preset,
            encode=encode,
            deinterlace=deinterlace,
            input=InputSettings(
                format=input_format,
                size=parse_size(input_size) if input_size else None,
                rate=parse_ratio(input_rate) if input_rate else None,
                pixel_format=input_pixel_format,
                start_s=parse_time(start),
                duration_s=_duration(start, duration, to),
                skip_undecodable=skip_undecodable,
            ),
            output_format=output_format,
            overwrite=overwrite,
        )
        tasks = plan_tasks(paths[:-1], paths[-1], recursive=recursive)
        with Services(server, own_model) as services:
            is_single = len(tasks) == 1 and tasks[0].out == paths[-1]
            run = _Run(services, settings, skip_existing=skip_existing)
            if is_single:
                run.upscale(tasks[0])
            else:
                run.upscale_all(tasks)


def _duration(start: str, duration: str | None, to: str | None) -> Fraction | None:
    if duration is not None and to is not None:
        raise ValueError("give either --duration or --to, not both")
    if to is None:
        return None if duration is None else parse_time(duration)
    length = parse_time(to) - parse_time(start)
    if length <= 0:
        raise ValueError(f"--to {to} is not after --start {start}")
    return length


class _Run:
    """The tasks of one command, on one server."""

    def __init__(self, services: Services, settings: FileSettings, *, skip_existing: bool) -> None:
        self._services = services
        self._settings = settings
        self._skip_existing = skip_existing
        self._console = error_console()

    def upscale(self, task: Task) -> None:
        """Upscale one input and print a summary.

        Raises:
            EsrError: as `FileJob`.
        """
        if self._skip_existing and os.path.exists(task.out):
            self._print(f"{task.out} exists: skipped")
            return
        report = self._picture(task) if task.media is Media.PICTURE else self._video(task)
        self._print(report)

    def upscale_all(self, tasks: tuple[Task, ...]) -> None:
        """Upscale every input, go on after one that fails, print a summary, and exit with 1 if one failed."""
        failed: list[str] = []
        skipped = 0
        for number, task in enumerate(tasks, 1):
            if self._skip_existing and os.path.exists(task.out):
                skipped += 1
                continue
            self._print(f"[{number}/{len(tasks)}] {task.source}")
            Path(task.out).parent.mkdir(parents=True, exist_ok=True)
            try:
                self.upscale(task)
            except EsrError as error:
                print_error(f"{task.source}: {error}")
                failed.append(task.source)
        upscaled = len(tasks) - skipped - len(failed)
        self._print(f"{upscaled} upscaled, {skipped} skipped because their output exists, {len(failed)} failed")
        if failed:
            raise typer.Exit(1)

    def _video(self, task: Task) -> str:
        with Interrupt() as interrupt:

            def open_job() -> FileJob:
                return FileJob(task.source, task.out, self._settings, notice=self._remark, interrupt=interrupt)

            with interruptible(open_job, interrupt.set) as job:
                client = self._services.client(job.model)
                with display_for(self._console, job.destination.name) as display:
                    report = self._services.call(client, lambda: job.run(client, progress=display.show), interrupt.set)
        fps = report.frames / report.elapsed_s if report.elapsed_s else 0.0
        size = f"{report.size[0]}x{report.size[1]}"
        network = f"{report.negotiated.model} on {report.negotiated.backend}"
        others = len(report.copied)
        copies = f", {others} other stream{'s' if others > 1 else ''} copied" if others else ""
        return f"{job.destination.name}: {size}, {report.frames} frames at {fps:.1f} FPS, {network}{copies}"

    def _picture(self, task: Task) -> str:
        settings = self._settings
        picture = PictureSettings(model=settings.model, size=settings.size, overwrite=settings.overwrite)
        job = PictureJob(task.source, task.out, picture, notice=self._remark)
        client = self._services.client(job.model)
        report = self._services.call(client, lambda: job.run(client))
        return f"{task.out}: {report.width}x{report.height}, {report.model}, {report.elapsed_s:.2f} s"

    def _remark(self, text: str) -> None:
        self._console.print(f"note: {text}", style="yellow", markup=False, soft_wrap=True)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
