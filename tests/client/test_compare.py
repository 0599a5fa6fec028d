"""Comparing two videos or pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import pyvips

from esr_client import InputError, OutputError
from esr_client.files import Layout, compare
from tests.client import clips

SIZE = (64, 48)


def write(path: Path, pictures: Sequence[np.ndarray], rate: int = 25) -> Path:
    """Write gray pictures without a loss."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=rate)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p", dst_color_range=1)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def luma(path: Path) -> list[np.ndarray]:
    """The luma planes of a file."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.fixture
def scene() -> list[np.ndarray]:
    """Three pictures with something to see."""
    rng = np.random.default_rng(3)
    return [rng.integers(60, 190, (SIZE[1], SIZE[0]), np.uint8) for _ in range(3)]


def test_scores(tmp_path: Path, scene: list[np.ndarray]) -> None:
    reference = write(tmp_path / "reference.mkv", scene)
    same = write(tmp_path / "same.mkv", scene)
    other = write(tmp_path / "other.mkv", [np.clip(p.astype(int) + 8, 0, 255).astype(np.uint8) for p in scene])
    result = compare(same, other, None, reference=reference)
    assert (result.frames, result.size) == (3, SIZE)
    assert result.scores is not None
    assert result.scores[0].psnr_db == math.inf
    assert result.scores[0].ssim == pytest.approx(1)
    errors = [a.astype(float) - b for a, b in zip(luma(other), luma(reference), strict=True)]
    expected = 10 * math.log10(255**2 / np.mean(np.square(errors)))
    # Gray becomes limited range on its way through `to_ndarray`, so that differences are stretched by 255/219.
    assert result.scores[1].psnr_db == pytest.approx(expected + 20 * math.log10(255 / 219), abs=0.4)
    assert 0.9 < result.scores[1].ssim < 1


@pytest.mark.parametrize(
    ("layout", "width"), [(Layout.SIDE, 2 * SIZE[0]), (Layout.SPLIT, SIZE[0]), (Layout.ZOOM, 2 * 63)]
)
def test_picture(tmp_path: Path, scene: list[np.ndarray], layout: Layout, width: int) -> None:
    dark = write(tmp_path / "a.mkv", [np.full_like(p, 40) for p in scene])
    bright = write(tmp_path / "b.mkv", [np.full_like(p, 200) for p in scene])
    compare(dark, bright, tmp_path / "out.png", layout=layout)
    (picture,) = luma(tmp_path / "out.png")
    assert picture.shape[1] == width
    assert abs(int(picture[:, : width // 2 - 1].mean()) - int(picture[:, width // 2 + 1 :].mean())) > 100


def test_a_line_divides_a_split(tmp_path: Path, scene: list[np.ndarray]) -> None:
    dark = write(tmp_path / "a.mkv", [np.full_like(p, 40) for p in scene])
    compare(dark, dark, tmp_path / "out.png", layout=Layout.SPLIT)
    (picture,) = luma(tmp_path / "out.png")
    assert list(np.flatnonzero(picture.min(axis=0) > 200)) == [SIZE[0] // 2, SIZE[0] // 2 + 1]


def test_video_keeps_times_and_takes_the_larger_size(tmp_path: Path, scene: list[np.ndarray]) -> None:
    small = write(tmp_path / "small.mkv", [p[::2, ::2] for p in scene])
    large = write(tmp_path / "large.mkv", scene)
    compare(small, large, tmp_path / "out.mkv")
    result = clips.video(tmp_path / "out.mkv")
    assert result.size == (2 * SIZE[0], SIZE[1])
    assert result.times == clips.video(small).times


def test_the_longer_one_is_named(tmp_path: Path, scene: list[np.ndarray]) -> None:
    short, long = write(tmp_path / "short.mkv", scene[:2]), write(tmp_path / "long.mkv", scene)
    result = compare(short, long, tmp_path / "out.mkv")
    assert (result.frames, result.longer) == (2, (str(long),))
    assert compare(long, long, tmp_path / "out.png").longer == ()


def test_frames_of_other_times_are_refused(tmp_path: Path, scene: list[np.ndarray]) -> None:
    a, b = write(tmp_path / "a.mkv", scene), write(tmp_path / "b.mkv", scene, rate=10)
    with pytest.raises(InputError, match=r"frame 1 is .*a.mkv at 0.040 s, .*b.mkv at 0.100 s; only videos with"):
        compare(a, b, tmp_path / "out.mkv")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pictures_are_upright(tmp_path: Path, orientation: int) -> None:
    pixels = np.full((40, 80, 3), 60, np.uint8)
    pixels[:, 40:] = 200
    pixels[:10, :20] = 120
    picture = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").copy()
    picture.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    picture.write_to_file(str(tmp_path / "a.jpg"), Q=95)
    compare(tmp_path / "a.jpg", tmp_path / "a.jpg", tmp_path / "out.png")
    upright = pyvips.Image.new_from_file(str(tmp_path / "a.jpg")).autorot().numpy().astype(int)
    sheet = pyvips.Image.new_from_file(str(tmp_path / "out.png")).numpy().astype(int)
    assert sheet.shape == (upright.shape[0], 2 * upright.shape[1], 3)
    assert np.abs(sheet[:, : upright.shape[1]] - upright).mean() < 2


def test_a_stop_leaves_nothing(tmp_path: Path, scene: list[np.ndarray]) -> None:
    video = write(tmp_path / "a.mkv", scene)
    with pytest.raises(OutputError, match="stopped"):
        compare(video, video, tmp_path / "out.mkv", should_stop=lambda: True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_standard_output_is_no_file(tmp_path: Path, scene: list[np.ndarray]) -> None:
    video = write(tmp_path / "a.mkv", scene)
    with pytest.raises(OutputError, match="compare writes a file"):
        compare(video, video, "-")


def test_a_later_frame(tmp_path: Path, scene: list[np.ndarray]) -> None:
    levels = [np.full_like(scene[0], level) for level in (40, 120, 200)]
    video = write(tmp_path / "a.mkv", levels)
    compare(video, video, tmp_path / "out.png", at_s=0.08)
    assert luma(tmp_path / "out.png")[0].mean() > 150
    with pytest.raises(InputError, match="end before 9 s"):
        compare(video, video, tmp_path / "late.png", at_s=9)
    assert not (tmp_path / "late.png").exists()


def test_comparisons_that_cannot_be(tmp_path: Path, scene: list[np.ndarray]) -> None:
    video = write(tmp_path / "a.mkv", scene)
    with pytest.raises(ValueError, match="name an output with -o, or a reference"):
        compare(video, video, None)
    with pytest.raises(OutputError, match="is the input itself"):
        compare(video, video, video, overwrite=True)
    with pytest.raises(OutputError, match="no suffix of a known container"):
        compare(video, video, tmp_path / "out.xyz")
    with pytest.raises(InputError, match="cannot open"):
        compare(video, tmp_path / "none.mkv", tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
