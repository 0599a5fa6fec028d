"""VMAF, where there is an ffmpeg with libvmaf."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from esr_upscale.errors import EngineError
from esr_workbench.evaluation.vmaf import check_vmaf, vmaf
from tests.support.pictures import synthetic_luma


def _absence() -> str:
    try:
        check_vmaf()
    except EngineError as error:
        return str(error)
    return ""


@pytest.mark.skipif(bool(_absence()), reason=_absence() or "libvmaf is there")
def test_worse_picture_scores_less() -> None:
    truth = np.stack([np.roll(synthetic_luma(144, 177), i, axis=1) for i in range(3)])
    noise = np.random.default_rng(0).normal(0, 12, truth.shape)
    worse = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    assert vmaf(truth, truth) > 95
    assert vmaf(worse, truth) < 90


def test_report_of_ffmpeg_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of the test's own answers as ffmpeg does; it writes the sizes of both files as the score."""
    script = """case $* in
*-filters*) echo ' ... libvmaf           VV->V      Calculate the VMAF';;
*) printf '{"pooled_metrics": {"vmaf": {"mean": %s.5}}}' "$(cat clip.yuv truth.yuv | wc -c)" >vmaf.json;;
esac"""
    (tmp_path / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    check_vmaf()
    frames = np.zeros((2, 9, 15), np.uint8)
    assert vmaf(frames, frames) == 2 * 2 * (9 * 15 + 2 * 5 * 8) + 0.5
