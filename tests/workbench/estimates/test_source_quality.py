"""The fit of the estimate of quality: it finds a function that is there, and clips go through every codec."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from esr_upscale.source_quality import Calibration, calibration
from esr_workbench.cli import app
from esr_workbench.datasets.tiles import load_tiles
from esr_workbench.estimates.source_quality import KeyFrameSample, fit, sample_key_frames
from esr_workbench.media.recoding import RECODERS
from tests.support.pictures import write_tiles

NAMES = sorted(recoder.codec for recoder in RECODERS.values())


def _samples(function: Calibration, count: int) -> list[KeyFrameSample]:
    rng = np.random.default_rng(3)
    pairs = [(NAMES[n % len(NAMES)], rng.uniform(-1, 1, 6)) for n in range(count)]
    return [KeyFrameSample(name, x, function.quantizer(name, x) or 0.0) for name, x in pairs]


def test_a_function_is_found() -> None:
    shape = calibration()
    true = replace(shape, low=(-1.0,) * 6, high=(1.0,) * 6, codecs={name: 20.0 + n for n, name in enumerate(NAMES)})
    true = replace(true, least=-1000.0, most=1000.0)
    samples = _samples(true, 640)
    function, figures = fit(samples)
    assert figures["clips"] == 160
    assert figures["error"] < 0.1 * figures["error_of_codec_means"]
    assert set(function.codecs) == set(NAMES) == set(figures["error_by_codec"])


def test_clips_go_through_every_codec(tmp_path: Path) -> None:
    tiles = [tile.picture_hr() for tile in load_tiles(write_tiles(tmp_path, size=256), 2, 3)]
    reports: list[tuple[int, int]] = []
    samples = sample_key_frames(tiles, len(RECODERS), 1, lambda *at: reports.append(at))
    assert sorted(sample.codec for sample in samples) == NAMES
    assert reports[-1] == (len(RECODERS), len(RECODERS))
    assert all(8 < sample.quantizer < 45 for sample in samples)
    assert all(np.isfinite(sample.measures).all() for sample in samples)


def test_the_command(tmp_path: Path) -> None:
    tiles = write_tiles(tmp_path / "tiles", size=256)
    arguments = ["calibrate", "--tiles", str(tiles), "--out", str(tmp_path / "out.json"), "--clips", "64"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["made"]["clips"] == 64
    assert content["function"].keys() == {"codecs", "low", "high", "linear", "quadratic", "least", "most"}
    assert "mean error of the quantiser" in result.stdout
    refusal = CliRunner().invoke(app, arguments)
    assert refusal.exit_code == 2
    assert "exists" in refusal.output


def test_what_is_shipped() -> None:
    shipped = calibration()
    assert set(shipped.codecs) == set(NAMES)
    assert len(shipped.quadratic) == 21
    assert shipped.quantizer("none", np.zeros(6)) is None
    values = [shipped.quantizer("h264", np.full(6, value)) or 0.0 for value in (-1e9, 1e9)]
    assert all(shipped.least <= value <= shipped.most for value in values)
    assert shipped.most == pytest.approx(37, abs=5)
