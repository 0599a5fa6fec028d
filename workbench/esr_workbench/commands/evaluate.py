"""`esr eval`: how good models are on sets of pictures, or one video against another."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, list_models, resolve
from esr_upscale.replacement import write_text
from esr_workbench.commands.common import Data, Overwrite, Threads, Weights, check_outputs, clear_errors, print_table
from esr_workbench.commands.progress import show_progress
from esr_workbench.commands.video import judge_on_clips

if TYPE_CHECKING:
    from esr_workbench.evaluation.published_results import Published
    from esr_workbench.evaluation.quality import Quality

ABSENT = "–"


@clear_errors()
def evaluate_models(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models, by alias, canonical id or the paper's id.", show_default=False)
    ] = None,
    data: Data = None,
    published: Annotated[
        Path | None, typer.Option(help="CSV file of published figures: model, psnr_Set5, … ssim_Set5, …")
    ] = None,
    video: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="REFERENCE DISTORTED", help="Compare two videos instead.")
    ] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option(help="Clean test video, or directory of pictures to pan over; may be repeated."),
    ] = None,
    codec: Annotated[
        list[str] | None, typer.Option(help="Codec and qualities for --clips, as in x264:18,28; may be repeated.")
    ] = None,
    downscaler: Annotated[
        list[str] | None, typer.Option(help="Downscaler for --clips; may be repeated. Default: bicubic and area.")
    ] = None,
    shader: Annotated[
        list[Path] | None,
        typer.Option(help="User shader of mpv to compare on --clips, run by ffmpeg's libplacebo; may be repeated."),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Number of frames of each of the --clips.")] = 14,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for the figures.")] = None,
    cards: Annotated[Path | None, typer.Option(help="Directory of the cards to write the PSNR to.")] = None,
    weights: Weights = None,
    threads: Threads = 1,
    overwrite: Overwrite = False,
) -> None:
    """Measure PSNR and SSIM of luma, of models on sets of pictures, on coded clips, or of a video.

    Prints Markdown tables. With --clips the figures are differences from Lanczos with 4 lobes, mean and lowest of the
    clips, in PSNR, SSIM and, where ffmpeg has libvmaf, VMAF. MODELS may name resamplers too: area, bilinear, bicubic,
    lanczos3, spline36.
    """
    from esr_workbench.model_files.cards import measured_card, write_card

    check_outputs([json_file], overwrite=overwrite)
    if video:
        if models or data or published or cards or clips or shader:
            raise InvalidInputError(
                "--video compares two files; it takes no models, --data, --published, --cards, --clips or --shader"
            )
        _judge_video(*video, json_file, threads)
        return
    directories = tuple(weights or ())
    if clips and (models or shader):
        if data or published or cards:
            raise InvalidInputError("--clips takes no --data, --published or --cards")
        downscalers = downscaler or ["bicubic", "area"]
        peers = shader or []
        judge_on_clips(models or [], peers, clips, downscalers, codec or [], frames, directories, threads, json_file)
        return
    if codec or downscaler or shader:
        raise InvalidInputError("--codec, --downscaler and --shader are for --clips")
    if not models:
        raise InvalidInputError("there is nothing to judge; name models, or compare files: --video a.mp4 b.mp4")
    if not data:
        raise InvalidInputError("there is nothing to judge on; give a directory of pictures: --data path/to/Set5")
    specs = [resolve(model, list_models(*directories)) for model in models]
    if cards:
        # Before anything is measured: can the cards be read and written?
        for spec in specs:
            measured_card(spec, {}, cards)
        check_outputs([cards / f"{spec.canonical_id}.json" for spec in specs], overwrite=True)
    scores = _judge_models(specs, tuple(data), published, directories, threads)
    if json_file:
        figures = {s.canonical_id: {name: asdict(q) for name, q in score.items()} for s, score in scores.items()}
        _write_json(json_file, figures)
    if cards:
        for spec, score in scores.items():
            write_card(measured_card(spec, {name: quality.psnr for name, quality in score.items()}, cards), cards)


def _judge_models(
    specs: list[ModelSpec], sets: tuple[Path, ...], published_file: Path | None, weights: tuple[Path, ...], threads: int
) -> dict[ModelSpec, dict[str, Quality]]:
    from esr_workbench.evaluation.published_results import read_published
    from esr_workbench.evaluation.quality import judge

    published = read_published(published_file) if published_file else None
    missing = [data.name for data in sets if published and data.name.lower() not in published.sets]
    if published and published_file and missing:
        message = (
            f"{published_file.name} has no figures of {', '.join(missing)}; it has of: {', '.join(published.sets)}"
        )
        if len(missing) == len(sets):
            raise InvalidInputError(message)
        typer.echo(f"note: {message}", err=True)
    with show_progress("judging pictures") as show:
        scores = judge(specs, sets, threads, *weights, report=show)
    print_qualities(scores, published)
    return scores


def print_qualities(scores: Mapping[ModelSpec, Mapping[str, Quality]], published: Published | None) -> None:
    """Print PSNR / SSIM for each model and set and their mean, next to published figures and the gain."""
    from esr_workbench.evaluation.quality import Quality

    sets = list(next(iter(scores.values())))
    head = ["model", *sets, "mean"]
    rows = []
    for spec, score in scores.items():
        qualities = [*score.values(), Quality.mean(score.values())]
        rows.append([spec.canonical_id, *(f"{quality.psnr:.2f} / {quality.ssim:.4f}" for quality in qualities)])
    if published:
        head += [f"published: {sets[0]}", *sets[1:], "mean", "gain"]
        for row, (spec, score) in zip(rows, scores.items(), strict=True):
            row += _published_cells(published, spec, score)
    print_table(head, rows)


def _published_cells(published: Published, spec: ModelSpec, score: Mapping[str, Quality]) -> list[str]:
    psnr, ssim = published.figures(spec)
    cells = []
    for name in (name.lower() for name in score):
        figures = [f"{psnr[name]:.2f}"] if name in psnr else [ABSENT]
        cells.append(" / ".join([*figures, f"{ssim[name]:.4f}"] if name in ssim else figures))
    means = published.means(spec, {name: quality.psnr for name, quality in score.items()})
    return [*cells, *([f"{means[1]:.2f}", f"{means[0] - means[1]:+.2f}"] if means else [ABSENT, ABSENT])]


def _judge_video(reference: Path, distorted: Path, json_file: Path | None, threads: int) -> None:
    from esr_upscale.backends.torch.kernel import torch_threads
    from esr_workbench.evaluation.videos import compare_videos

    with torch_threads(threads), show_progress("comparing frames") as show:
        quality = compare_videos(reference, distorted, lambda count: show(count, None))
    head = ["video", "frames", "PSNR", "PSNR of mean MSE", "worst frame", "SSIM"]
    worst = f"{quality.worst_psnr:.2f} (frame {quality.worst_frame})"
    figures = [f"{quality.psnr:.2f}", f"{quality.psnr_of_mean_mse:.2f}", worst, f"{quality.ssim:.4f}"]
    print_table(head, [[distorted.name, f"{quality.frames}", *figures]])
    if json_file:
        # JSON has no infinity, which is the PSNR of equal pictures.
        _write_json(json_file, {k: v if math.isfinite(v) else None for k, v in asdict(quality).items()})


def _write_json(path: Path, figures: Mapping[str, object]) -> None:
    write_text(path, json.dumps(figures, indent=2) + "\n")
