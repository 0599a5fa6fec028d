"""Video files, read back to the samples that went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esr_upscale.errors import InvalidInputError, MediaDataError
from esr_workbench.media.files import read_frames
from tests.support.files import write_video
from tests.support.pictures import synthetic_luma


def test_frames_are_read_in_order(tmp_path: Path) -> None:
    lumas = [synthetic_luma(37, 53, seed) for seed in range(4)]
    frames = list(read_frames(write_video(tmp_path / "v.mkv", lumas)))
    assert [(frame.width, frame.height, frame.format.name) for frame in frames] == [(53, 37, "gray")] * 4
    for frame, luma in zip(frames, lumas, strict=True):
        np.testing.assert_array_equal(frame.planes[0], luma)


def test_what_is_no_video(tmp_path: Path) -> None:
    text = tmp_path / "v.mp4"
    text.write_text("not a video")
    for path in (text, tmp_path / "missing.mp4"):
        with pytest.raises(InvalidInputError, match=f"{path.name} cannot be opened as a video"):
            next(read_frames(path))


def test_damage_is_told(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.avi", [synthetic_luma(64, 64, seed) for seed in range(6)], codec="png")
    data = bytearray(whole.read_bytes())
    start = len(data) // 2
    data[start : start + 4000] = bytes(4000)
    (tmp_path / "damaged.avi").write_bytes(data)
    with pytest.raises(MediaDataError, match=r"damaged\.avi cannot be decoded"):
        list(read_frames(tmp_path / "damaged.avi"))
