"""What models and videos are judged by, on figures that can be worked out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import resolve
from esr_workbench.evaluation.protocol import crop, degrade
from esr_workbench.evaluation.published_results import read_published
from esr_workbench.evaluation.quality import Quality, judge, picture_quality
from esr_workbench.evaluation.ssim import ssim
from esr_workbench.evaluation.videos import compare_videos
from tests.support.files import write_video
from tests.support.pictures import synthetic_luma, write_tiles


def test_ssim_is_of_the_same_pixels_as_psnr() -> None:
    kernel = torch_kernel.plan(resolve("bicubic_x3"), {}, 8)
    luma = synthetic_luma(50, 61).astype(np.float64) + 0.4
    truth = crop(luma, 3)
    picture = kernel(degrade(truth, 3))[3:-3, 3:-3]
    quality = picture_quality(kernel, luma, 3)
    assert quality.ssim == pytest.approx(ssim(picture, truth[3:-3, 3:-3]), abs=1e-12)
    assert 0.5 < quality.ssim < 1


def test_mean() -> None:
    assert Quality.mean([Quality(30, 0.5), Quality(32, 1.0)]) == Quality(31, 0.75)


def test_judge(tmp_path: Path) -> None:
    sets = (write_tiles(tmp_path / "A", 1), write_tiles(tmp_path / "B", 2))
    spec, reports = resolve("bicubic_x2"), []
    qualities = judge([spec], sets, 1, report=lambda step, total: reports.append((step, total)))[spec]
    assert reports == [(step, 6) for step in range(1, 7)]
    assert list(qualities) == ["A", "B"]
    assert qualities["A"] != qualities["B"]
    assert qualities["A"] == Quality(round(qualities["A"].psnr, 3), round(qualities["A"].ssim, 4))


def test_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    sets = (write_tiles(tmp_path / "one" / "Set5", 1), write_tiles(tmp_path / "two" / "Set5", 1))
    with pytest.raises(InvalidInputError, match="two sets of pictures are named Set5"):
        judge([resolve("bicubic_x2")], sets, 1)


def _offset(luma: NDArray[Any], by: int) -> NDArray[Any]:
    return (luma + by).astype(luma.dtype)


def test_videos(tmp_path: Path) -> None:
    lumas = [synthetic_luma(24, 32, seed) for seed in range(3)]
    reference = write_video(tmp_path / "a.mkv", lumas)
    offsets = [1, 4, 2]
    distorted = write_video(tmp_path / "b.mkv", [_offset(x, by) for x, by in zip(lumas, offsets, strict=True)])
    comparison = compare_videos(reference, distorted)
    psnrs = [20 * math.log10(255 / by) for by in offsets]
    assert (comparison.frames, comparison.worst_frame) == (3, 1)
    assert comparison.psnr == pytest.approx(np.mean(psnrs))
    assert comparison.worst_psnr == pytest.approx(psnrs[1])
    assert comparison.psnr_of_mean_mse == pytest.approx(10 * math.log10(255**2 / np.mean(np.square(offsets))))
    ssims = [ssim(_offset(x, by), x) for x, by in zip(lumas, offsets, strict=True)]
    assert comparison.ssim == pytest.approx(np.mean(ssims))


def test_ten_bit_videos_have_a_peak_of_1023(tmp_path: Path) -> None:
    luma = synthetic_luma(24, 32).astype(np.uint16) * 4
    reference = write_video(tmp_path / "a.mkv", [luma], "gray10le")
    distorted = write_video(tmp_path / "b.mkv", [_offset(luma, 3)], "gray10le")
    comparison = compare_videos(reference, distorted)
    assert comparison.psnr == pytest.approx(20 * math.log10(1023 / 3))
    assert comparison.ssim == pytest.approx(ssim(_offset(luma, 3), luma, 1023))


def test_equal_videos(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", [synthetic_luma(24, 32)])
    comparison = compare_videos(video, video)
    assert (comparison.psnr, comparison.psnr_of_mean_mse, comparison.worst_frame) == (math.inf, math.inf, 0)
    assert comparison.ssim == pytest.approx(1)


def test_videos_that_cannot_be_compared(tmp_path: Path) -> None:
    luma = synthetic_luma(24, 32)
    three, two = (write_video(tmp_path / f"{n}.mkv", [luma] * n) for n in (3, 2))
    wide = write_video(tmp_path / "wide.mkv", [synthetic_luma(24, 34)] * 3)
    deep = write_video(tmp_path / "deep.mkv", [luma.astype(np.uint16)] * 3, "gray10le")
    with pytest.raises(InvalidInputError, match=r"3\.mkv has 3 frames and .*2\.mkv has 2"):
        compare_videos(three, two)
    with pytest.raises(InvalidInputError, match=r"2\.mkv has 2 frames and .*3\.mkv has 3"):
        compare_videos(two, three)
    with pytest.raises(InvalidInputError, match=r"frame 0: 3\.mkv is 32x24 gray, wide\.mkv is 34x24 gray"):
        compare_videos(three, wide)
    with pytest.raises(InvalidInputError, match="one size and depth"):
        compare_videos(three, deep)


CSV = """model,psnr_Set5,psnr_BSDS100,ssim_Set5,mean,fps
bicubic_x2 (a remark),33.0,29.0,0.93,31,9
Bicubic_s2,30.0,,,,
eSR-TR_s2_K5_C2,35.0,,,35,
VDSR_x2,37.5,31.9,0.95,,
"""


def test_published(tmp_path: Path) -> None:
    file = tmp_path / "figures.csv"
    file.write_text(CSV)
    table = read_published(file)
    bicubic, esr_tr = resolve("bicubic_x2"), resolve("esr_tr_x2")
    assert table.sets == ("set5", "bsds100")
    assert table.psnr == {bicubic: {"set5": 33.0, "bsds100": 29.0}, esr_tr: {"set5": 35.0}}
    assert table.ssim == {bicubic: {"set5": 0.93}, esr_tr: {}}
    assert table.means(bicubic, {"SET5": 34.0, "BSDS100": 31.0, "Set14": 1.0}) == (32.5, 31.0)
    assert table.means(esr_tr, {"Set14": 30.0}) is None
    assert table.means(resolve("esr_tm_x2"), {"Set5": 30.0}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a column 'model'"),
        ("name,psnr_Set5\nbicubic_x2,3\n", "needs a column 'model'.*it has: name, psnr_Set5"),
        ("model,Set5\nbicubic_x2,3\n", "named as in psnr_Set5"),
        ("model,psnr_Set5\nbicubic_x2,good\n", "row 2: psnr_Set5 is 'good', not a number"),
        ("model,psnr_Set5\nbicubic_x2,nan\n", "not a number"),
        ("model,psnr_Set5\n\nbicubic_x2\n", "row 3 has 1 cells, but there are 2 columns"),
        ('model,psnr_Set5\n"bicubic_x2,3\n', "cannot be read as a CSV file"),
        ("model,psnr_Set5\n\udcff\n", "cannot be read as a CSV file"),
    ],
)
def test_files_that_have_no_figures(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "figures.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInputError, match=message):
        read_published(file)


def test_published_figures_are_of_the_network(tmp_path: Path) -> None:
    """Weights for clean sources stand next to the figures of their network, or to their own."""
    path = tmp_path / "published.csv"
    path.write_text("model,psnr_Set5\neSR-TR_s2_K5_C2,35.06\nespcn_x2,36.4\nespcn_x2_clean,36.5\n")
    published = read_published(path)
    names = ("esr_tr_x2", "esr_tr_x2_clean", "espcn_x2", "espcn_x2_clean")
    assert [published.figures(resolve(name))[0]["set5"] for name in names] == [35.06, 35.06, 36.4, 36.5]
    assert published.means(resolve("esr_tr_x2_clean"), {"Set5": 35.64}) == (35.64, 35.06)
