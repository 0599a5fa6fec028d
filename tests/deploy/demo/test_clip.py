"""The demo's clip: photographs that are there, and a window that moves by parts of a pixel and is made small."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deploy.demo.clip import FPS, FRAMES, PHOTOGRAPHS, SIZE, Photograph, Shot, pan, read_video, write_small


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_photograph_holds_the_window(photograph: Photograph) -> None:
    picture = photograph.read()
    (last,) = list(pan(picture, photograph.start_px, photograph.velocity_px, FRAMES))[-1:]
    assert (last.width, last.height) == SIZE
    assert not any(velocity.is_integer() for velocity in photograph.velocity_px)


def test_photograph_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"carries no sunset\.png"):
        Photograph("sunset", (0, 0), (0, 0), "").read()

    def raise_not_found(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "files", raise_not_found)
    with pytest.raises(FileNotFoundError, match="scikit-image is not installed: pip install"):
        PHOTOGRAPHS[0].read()


def test_pan_moves_by_parts_of_a_pixel() -> None:
    def wave(columns: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return 128 + 80 * np.sin(columns / 6)

    columns = np.arange(SIZE[0] + 20.0)
    picture = np.broadcast_to(np.rint(wave(columns)).astype(np.uint8)[None, :, None], (SIZE[1] + 4, len(columns), 3))
    frames = list(pan(Image.fromarray(np.ascontiguousarray(picture)), (2.0, 1.0), (1.3, 0.25), 9))
    for index, frame in enumerate(frames):
        luma = frame.to_ndarray()[SIZE[1] // 2, 8:-8]
        expected = 16 + 219 / 255 * wave(columns[8 : SIZE[0] - 8] + 2 + 1.3 * index)
        assert np.abs(luma - expected).max() < 2


def test_pan_that_leaves_the_picture() -> None:
    picture = Image.new("RGB", (SIZE[0] + 4, SIZE[1] + 4))
    with pytest.raises(ValueError, match="box can't exceed"):
        list(pan(picture, (0.0, 0.0), (1.5, 0.0), 5))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_small_clip(shots: list[Shot], scale: int, tmp_path: Path) -> None:
    write_small(shots, scale, tmp_path / "in.mp4")
    frames = read_video(tmp_path / "in.mp4")
    assert [frame.time for frame in frames] == pytest.approx([i / FPS for i in range(8)])
    assert {(frame.width, frame.height) for frame in frames} == {(144 // scale, 96 // scale)}
    with av.open(str(tmp_path / "in.mp4")) as container:
        assert container.streams.video[0].codec.canonical_name == "h264"
