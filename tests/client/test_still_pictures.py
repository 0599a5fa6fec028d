"""Picture files through a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

import esr_client
from esr_client.files import WantedSize, pictures
from esr_client.files.pictures import PictureJob, PictureSettings, upscale_picture
from tests.support.server import running_on_thread, target

QUICK = PictureSettings(model="bicubic_x2")


@pytest.fixture(scope="module")
def client() -> Iterator[esr_client.Client]:
    """A client of a real server."""
    with running_on_thread() as server, esr_client.connect(target(server)) as client:
        yield client


def smooth(bands: int, dtype: type[np.generic]) -> Any:
    """A picture without sharp edges, of which codecs lose little."""
    y, x = np.mgrid[0:24, 0:40]
    unit = 257 if dtype is np.uint16 else 1
    pixels = np.stack([(60 + 3 * x + 2 * y + 10 * band) * unit for band in range(bands)], axis=-1).astype(dtype)
    space = {(1, 1): "b-w", (1, 257): "grey16", (3, 1): "srgb", (4, 1): "srgb", (3, 257): "rgb16", (4, 257): "rgb16"}
    return pyvips.Image.new_from_array(pixels).copy(interpretation=space[bands, unit])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_formats(client: esr_client.Client, tmp_path: Path, suffix: str) -> None:
    source, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    picture = smooth(3, np.uint8)
    picture.write_to_file(str(source))
    report = upscale_picture(client, source, out, QUICK)
    upscaled = pyvips.Image.new_from_file(str(out))
    assert (report.width, report.height, upscaled.width, upscaled.height) == (80, 48, 80, 48)
    expected = picture.resize(2, kernel="cubic").numpy().astype(int)
    assert np.abs(upscaled.numpy().astype(int)[4:-4, 4:-4] - expected[4:-4, 4:-4]).mean() < 3
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name}


@pytest.mark.parametrize(
    ("bands", "dtype"), [(1, np.uint8), (4, np.uint8), (1, np.uint16), (3, np.uint16), (4, np.uint16)]
)
def test_bands_are_kept(client: esr_client.Client, tmp_path: Path, bands: int, dtype: type[np.generic]) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    picture = smooth(bands, dtype)
    picture.write_to_file(str(source))
    upscale_picture(client, source, out, QUICK)
    upscaled = pyvips.Image.new_from_file(str(out))
    assert (upscaled.bands, upscaled.format, upscaled.interpretation) == (bands, picture.format, picture.interpretation)
    inner = upscaled.numpy().reshape(48, 80, bands)[8:-8, 8:-8].astype(int)
    expected = picture.resize(2, kernel="cubic").numpy().reshape(48, 80, bands)[8:-8, 8:-8].astype(int)
    assert np.abs(inner - expected).max() <= 3 * (257 if dtype is np.uint16 else 1)


@pytest.mark.parametrize("model", ["bicubic_x2", "esr_tr_x3", "fsrcnn_x2"])
@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (3, np.uint16), (4, np.uint8)])
def test_strips_have_no_seams(
    client: esr_client.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    bands: int,
    dtype: type[np.generic],
) -> None:
    source = tmp_path / "in.tif"
    kind = smooth(bands, dtype).interpretation
    most = 65535 if dtype is np.uint16 else 255
    pixels = np.random.default_rng(1).integers(0, most, (67, 40, bands), endpoint=True).astype(dtype)
    pyvips.Image.new_from_array(pixels).copy(interpretation=kind).write_to_file(str(source))
    upscale_picture(client, source, tmp_path / "whole.tif", PictureSettings(model=model))
    monkeypatch.setattr(pictures, "STRIP_PIXELS", 40 * 9)
    upscale_picture(client, source, tmp_path / "strips.tif", PictureSettings(model=model))
    whole, strips = (pyvips.Image.new_from_file(str(tmp_path / name)).numpy() for name in ("whole.tif", "strips.tif"))
    assert np.abs(whole.astype(int) - strips).max() <= 1


def test_a_profile_of_other_colours_is_not_kept(client: esr_client.Client, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jpg", tmp_path / "out.png"
    smooth(3, np.uint8).icc_transform("cmyk", input_profile="srgb").write_to_file(str(source), Q=95)
    assert pyvips.Image.new_from_file(str(source)).interpretation == "cmyk"
    upscale_picture(client, source, out, QUICK)
    upscaled = pyvips.Image.new_from_file(str(out))
    assert upscaled.interpretation == "srgb"
    assert not upscaled.get_typeof("icc-profile-data")
    expected = smooth(3, np.uint8).resize(2, kernel="cubic").numpy().astype(int)
    assert np.abs(upscaled.numpy().astype(int) - expected)[8:-8, 8:-8].mean() < 12


def test_metadata_is_kept(client: esr_client.Client, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jpg", tmp_path / "out.jpg"
    picture = smooth(3, np.uint8).copy()
    picture.set_type(pyvips.GValue.gint_type, "orientation", 6)
    picture.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "Ada (Ada, ASCII, 4 components, 4 bytes)")
    picture.icc_transform("srgb", input_profile="srgb", embedded=False).copy().write_to_file(
        str(source), Q=95, profile="srgb"
    )
    upscale_picture(client, source, out, QUICK)
    old, new = (pyvips.Image.new_from_file(str(path)) for path in (source, out))
    assert new.get("orientation") == old.get("orientation") == 6
    assert new.get("icc-profile-data") == old.get("icc-profile-data")
    assert str(new.get("exif-ifd0-Artist")).startswith("Ada")


def test_transparency_on_white_in_a_jpeg(client: esr_client.Client, tmp_path: Path) -> None:
    source, notices = tmp_path / "in.png", list[str]()
    pixels = np.zeros((16, 16, 4), np.uint8)
    pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").write_to_file(str(source))
    upscale_picture(client, source, tmp_path / "out.jpg", QUICK, notice=notices.append)
    assert notices == [".jpg cannot hold transparency; it is laid on white"]
    assert pyvips.Image.new_from_file(str(tmp_path / "out.jpg")).numpy().min() > 250


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_damaged_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").write_to_file(str(whole))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(esr_client.InputError, match="cannot read"):
        PictureJob(cut, tmp_path / "out.png", QUICK)


def test_wanted_size(client: esr_client.Client, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    smooth(3, np.uint8).write_to_file(str(source))
    job = PictureJob(source, tmp_path / "out.png", PictureSettings(size=WantedSize(width=61)))
    assert job.model == "esr_stack_x2"
    assert job.run(client).width == 61
    assert pyvips.Image.new_from_file(str(tmp_path / "out.png")).height == 37
    assert PictureJob(source, tmp_path / "b.png", PictureSettings(size=WantedSize(width=120))).model == "esr_stack_x3"


@pytest.mark.parametrize(
    ("name", "out", "error", "message"),
    [
        ("none.png", "out.png", esr_client.InputError, "no such file"),
        ("text.png", "out.png", esr_client.InputError, "cannot read"),
        ("in.png", "out.gif", esr_client.OutputError, "known are .png"),
        ("in.png", "in.png", esr_client.OutputError, "is the input itself"),
        ("in.png", "text.png", esr_client.OutputError, "exists; add --overwrite"),
    ],
)
def test_pictures_that_cannot_be(
    tmp_path: Path, name: str, out: str, error: type[esr_client.EsrError], message: str
) -> None:
    smooth(3, np.uint8).write_to_file(str(tmp_path / "in.png"))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(error, match=message):
        PictureJob(tmp_path / name, tmp_path / out, QUICK)
