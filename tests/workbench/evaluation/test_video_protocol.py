"""Judging on clips: what Lanczos has is nought, shaders are judged as models are, and bad wishes are clear errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelCard, Source, WeightNodes, load_weights, resolve, save_weights
from esr_workbench.cli import app
from esr_workbench.degradation.degrade import Coding
from esr_workbench.evaluation.video_protocol import Clip, Condition, judge_clips, parse_conditions, read_clip, resampler
from esr_workbench.shaders import export_mpv
from tests.support.files import write_video
from tests.support.libplacebo import needs_libplacebo
from tests.support.pictures import random_weights, synthetic_luma


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A clip of three frames, of an odd size."""
    write_video(tmp_path / "clip.mkv", [np.roll(synthetic_luma(67, 99), 2 * i, axis=1) for i in range(3)])
    return tmp_path / "clip.mkv"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A directory of two pictures."""
    (tmp_path / "stills").mkdir()
    for seed in range(2):
        Image.fromarray(synthetic_luma(80, 90 + seed, seed)).save(tmp_path / "stills" / f"{seed}.png")
    return tmp_path / "stills"


def test_conditions() -> None:
    conditions = parse_conditions(["bicubic", "area"], ["x264:18,28", "mjpeg:4"])
    assert [condition.name for condition in conditions] == [
        "bicubic", "bicubic x264:18", "bicubic x264:28", "bicubic mjpeg:4",
        "area", "area x264:18", "area x264:28", "area mjpeg:4",
    ]  # fmt: skip
    assert conditions[1] == Condition("bicubic", Coding("x264", 18))


@pytest.mark.parametrize(
    ("kernels", "codecs", "message"),
    [
        (["nearest"], [], "unknown downscaler 'nearest'; choose one of area"),
        (["area"], ["h264:20"], "unknown codec 'h264'; choose one of x264"),
        (["area"], ["x264"], "a quality of x264 is a whole number from 15 to 37, as in x264:15,37"),
        (["area"], ["x264:18,60"], "a quality of x264 is a whole number from 15 to 37"),
    ],
)
def test_wishes_that_cannot_be(kernels: list[str], codecs: list[str], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_conditions(kernels, codecs)


def test_a_clip_is_cut_to_what_can_be_coded(video: Path) -> None:
    assert read_clip(video, 2, 2).shape == (2, 64, 96)
    assert read_clip(video, 3, 9).shape == (3, 66, 96)
    with pytest.raises(InvalidInputError, match="has no frame 7"):
        read_clip(video, 2, 2, start=7)


def test_a_directory_is_panned_over(pictures: Path) -> None:
    clip = read_clip(pictures, 2, 1)
    assert clip.shape == (16, 72, 72)
    moved = np.abs(clip[1].astype(int) - clip[0]).mean()
    assert 0.1 < moved < np.abs(clip[8].astype(int) - clip[7]).mean()


def test_what_lanczos_has_is_nought(pictures: Path) -> None:
    clips = {"stills": read_clip(pictures, 2, 1)}
    upscalers = {name: resampler(name, 2) for name in ("lanczos4", "bilinear")}
    reports: list[tuple[int, int]] = []
    scores = judge_clips(
        upscalers, clips, parse_conditions(["area"], ["x264:30"]), 2, lambda step, of: reports.append((step, of))
    )
    assert reports == [(1, 2), (2, 2)]
    nothing = {"stills": {"psnr": 0.0, "ssim": 0.0}}
    assert scores.gains["lanczos4"] == {"area": nothing, "area x264:30": nothing}
    for metric, least in (("psnr", -0.1), ("ssim", -0.001)):
        assert scores.mean("bilinear", "area", metric) == scores.lowest("bilinear", "area", metric) < least
        assert scores.base["area"]["stills"][metric] > scores.base["area x264:30"]["stills"][metric]


def test_what_is_known_of_the_source(tmp_path: Path) -> None:
    shutil.copy(str(files("skimage") / "data" / "astronaut.png"), tmp_path / "portrait.png")  # NASA, public domain
    source_list: list[Source | None] = []

    def upscale(clip: Clip, sources: Sequence[Source | None]) -> Clip:
        (source,) = set(sources)
        source_list.append(source)
        return resampler("bicubic", 2)(clip, sources)

    conditions = parse_conditions(["area"], ["x264:15,37"])
    judge_clips({"it": upscale}, {"clip": read_clip(tmp_path, 2, 4)}, conditions, 2, lambda _, __: None)
    clean, good, poor = source_list
    assert clean == Source(0.0, "area")
    assert good is not None
    assert poor is not None
    assert 5 < good.quantizer < poor.quantizer < 45


def test_a_model_with_nodes_is_judged_with_them_too(pictures: Path, tmp_path: Path) -> None:
    spec = resolve("esr_max_x2_k3_c1")
    blind = random_weights(spec)
    card = ModelCard(spec.canonical_id, "edge", "", "", (), "CC0-1.0", {}, "2026-11-27", {}, 1)
    nodes = WeightNodes({Source(0.0): load_weights(spec), Source(30.0): blind})
    save_weights(spec, blind, card, tmp_path / "w", nodes)
    command = ["eval", "esr_max_x2_k3_c1", "--weights", str(tmp_path / "w"), "--clips", str(pictures)]
    result = CliRunner().invoke(app, [*command, "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    gains = json.loads((tmp_path / "out.json").read_text())["over lanczos4"]
    assert gains.keys() == {"esr_max_x2_k3_c1", "esr_max_x2_k3_c1 by source"}
    blind_gain, gain = (figures["area"]["stills"]["psnr"] for figures in gains.values())
    assert gain > blind_gain + 1


def test_the_command(video: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = ["eval", "esr_max_x2", "bicubic", "--clips", str(video), "--clips", str(pictures), "--codec", "mpeg2:4"]
    result = CliRunner().invoke(app, [*command, "--downscaler", "bicubic", "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert "| PSNR in dB over lanczos4: mean / lowest | bicubic" in result.stdout
    assert "| SSIM over lanczos4: mean / lowest | bicubic" in result.stdout
    figures = json.loads(out.read_text())
    assert figures["over lanczos4"].keys() == {"esr_max_x2", "bicubic"}
    assert figures["lanczos4"]["bicubic mpeg2:4"].keys() == {"clip", "stills"}
    has_vmaf = "VMAF is left out" not in result.stderr
    assert ("| VMAF over lanczos4" in result.stdout) == has_vmaf
    measured = {"psnr", "ssim", "vmaf"} if has_vmaf else {"psnr", "ssim"}
    assert figures["over lanczos4"]["bicubic"]["bicubic"]["stills"].keys() == measured


@needs_libplacebo
def test_shader_gains_what_its_model_gains(pictures: Path, tmp_path: Path) -> None:
    """A model and the shader exported from it differ by code values of one, so hardly in PSNR."""
    shader, out = tmp_path / "own.glsl", tmp_path / "figures.json"
    spec = resolve("esr_max_x3")
    export_mpv(spec, load_weights(spec), "CC0-1.0", None, shader)
    command = ["eval", "esr_max_x3", "--clips", str(pictures), "--shader", str(shader), "--json", str(out)]
    result = CliRunner().invoke(app, [*command, "--downscaler", "bicubic", "--codec", "x264:20"])
    assert result.exit_code == 0, result.output
    gains = json.loads(out.read_text())["over lanczos4"]
    assert gains.keys() == {"esr_max_x3", "own"}
    for condition in ("bicubic", "bicubic x264:20"):
        model, peer = (gains[name][condition]["stills"] for name in ("esr_max_x3", "own"))
        assert abs(model["psnr"]) > 0.05
        assert peer["psnr"] == pytest.approx(model["psnr"], abs=0.02)
        assert peer["ssim"] == pytest.approx(model["ssim"], abs=0.002)


@needs_libplacebo
def test_shader_alone_sets_scale(pictures: Path, tmp_path: Path) -> None:
    spec = resolve("bicubic_x4")
    shader = export_mpv(spec, {}, "CC0-1.0", None, tmp_path / "four.glsl")
    command = ["eval", "--clips", str(pictures), "--shader", str(shader), "--downscaler", "area"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "| four " in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("void main() {}", "shader peer: it has no line //!HOOK"),
        ("//!HOOK LUMA\nvec4 hook() {}\n", "shader peer makes 960x540 of 960x540; at x2 it must be 1920x1080"),
    ],
)
def test_shader_of_other_scale_is_refused(text: str, message: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "peer.glsl").write_text(text)
    result = CliRunner().invoke(
        app, ["eval", "bicubic", "--clips", str(video), "--shader", str(tmp_path / "peer.glsl")]
    )
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["esr_max_x2", "esr_max_x3", "--clips", "CLIP"], "models are judged together at one scale"),
        (
            ["--video", "CLIP", "CLIP", "--clips", "CLIP"],
            "it takes no models, --data, --published, --cards, --clips or --shader",
        ),
        (["esr_max_x2", "--codec", "x264:20"], "--codec, --downscaler and --shader are for --clips"),
        (["esr_max_x2", "--shader", "a.glsl"], "--codec, --downscaler and --shader are for --clips"),
        (["esr_max_x2", "--clips", "CLIP", "--shader", "a.glsl"], "a.glsl cannot be read: No such file"),
        (["area", "area", "--clips", "CLIP"], "two models or shaders have the same name"),
        (["esr_max_x2", "--clips", "CLIP", "--data", "."], "--clips takes no --data"),
        (["esr_max_x2", "--clips", "CLIP", "--clips", "CLIP"], "two clips have the same name"),
    ],
)
def test_commands_that_cannot_be(video: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["eval", *(str(video) if word == "CLIP" else word for word in arguments)])
    assert result.exit_code == 2
    assert message in result.output
