"""Degradations and the cache of pairs: what was drawn is what is there, and a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_workbench.datasets.pairs import KEPT, PairSettings, make_pairs, read_ways
from esr_workbench.degradation.degrade import CODECS, Coding, Degradation, draw_degradation
from esr_workbench.degradation.resampling import enlarge
from esr_workbench.media.recoding import RECODERS
from tests.support.pictures import synthetic_luma

TILES = [synthetic_luma(256, 256), synthetic_luma(256, 256)[::-1].copy()]
EVEN = (1.0, 1.0)


def ignore(_step: int, _total: int) -> None:
    """Report nothing."""


def test_the_mixture_has_its_shares() -> None:
    rng = np.random.default_rng(1)
    ways = [draw_degradation(rng) for _ in range(3000)]
    clean = [way for way in ways if way.coding is None]
    assert len(clean) / len(ways) == pytest.approx(0.2, abs=0.03)
    assert {way.coding.codec for way in ways if way.coding} == CODECS.keys()
    assert all(way.before is None and way.noise == 0 for way in clean)
    for way in ways:
        for coding in (way.before, way.coding):
            if coding is not None:
                row = RECODERS[coding.codec]
                assert row.best <= coding.quality <= row.worst
                assert coding.preset < len(row.presets)


def test_a_clean_reduction_is_near() -> None:
    clip = np.stack([synthetic_luma(96, 96)] * 2)
    small = Degradation(kernel="area").apply(clip, 2, np.random.default_rng(1))
    assert small.shape == (2, 48, 48)
    assert float(np.abs(enlarge(small, 2) - clip).mean()) < 8


def test_noise_blur_and_codecs_take_something_away() -> None:
    clip = np.stack([synthetic_luma(96, 96)] * 3)

    def error(way: Degradation) -> float:
        return float(np.square(enlarge(way.apply(clip, 2, np.random.default_rng(1)), 2) - clip).mean())

    plain = error(Degradation(kernel="area"))
    assert error(Degradation(kernel="area", noise=4.0)) > plain
    assert error(Degradation(kernel="area", blur_px=0.9)) > plain
    assert error(Degradation(kernel="area", coding=Coding("x264", 37))) > plain
    assert error(Degradation(kernel="area", before=Coding("mpeg2", 12))) > plain


def _files(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.load(folder / "hr.npy"), np.load(folder / "lr.npy")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shapes(tmp_path: Path, scale: int) -> None:
    make_pairs(TILES, EVEN, tmp_path, PairSettings(scale=scale, mosaics=1, ways=2), ignore)
    hr, lr = _files(tmp_path)
    assert hr.shape[:2] == (1, KEPT)
    assert lr.shape == (1, 2, KEPT, hr.shape[2] // scale, hr.shape[3] // scale)
    assert json.loads((tmp_path / "pairs.json").read_text())["scale"] == scale
    assert len(read_ways(tmp_path)[0]) == 2


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    settings = PairSettings(scale=2, mosaics=3, ways=1, seed=4)
    make_pairs(TILES, EVEN, tmp_path / "whole", settings, ignore)

    def stop(step: int, _total: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_pairs(TILES, EVEN, tmp_path / "parts", settings, stop)
    assert not (tmp_path / "parts" / "pairs.json").exists()
    with (tmp_path / "parts" / "ways.jsonl").open("a") as log:
        log.write('[{"kernel": "ar')  # as a killed run leaves it
    make_pairs(TILES, EVEN, tmp_path / "parts", settings, ignore)
    (hr, lr), (other_hr, other_lr) = _files(tmp_path / "whole"), _files(tmp_path / "parts")
    np.testing.assert_array_equal(hr, other_hr)
    ways = read_ways(tmp_path / "whole")
    assert ways == read_ways(tmp_path / "parts")
    # x264 leaves a little to chance.
    assert np.abs(lr.astype(int) - other_lr).mean() < 0.5
    assert lr.std(axis=(1, 2, 3, 4)).min() > 5
