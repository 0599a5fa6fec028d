"""The demo from end to end, on shots drawn here, and how it ends where it cannot run."""

from __future__ import annotations

import importlib.metadata
import io
from pathlib import Path

import av
import pytest
from PIL import Image
from rich.console import Console

from deploy.demo.__main__ import main, run
from deploy.demo.clip import Shot
from deploy.demo.sheet import CROP_SIZE, ZOOM


@pytest.mark.parametrize(("model", "scale"), [("esr_max_x2_k3_c1", 2), ("bicubic_x3", 3)])
def test_demo(shots: list[Shot], model: str, scale: int, tmp_path: Path) -> None:
    text = io.StringIO()
    run(model, shots, tmp_path / "demo", Console(file=text, width=100))
    printed = text.getvalue()
    assert "file: 8 frames" in printed
    assert "latency at 25 FPS" in printed
    rows = [line.split() for line in printed.splitlines() if "│" in line]
    by_name = {
        cells[1]: [float(cell) for cell in cells[3::2]] for cells in rows if cells[1] in ("first", "second", "mean")
    }
    assert by_name.keys() == {"first", "second", "mean"}
    for lanczos, upscaled, gain in by_name.values():
        assert 15 < lanczos < 45
        assert gain == pytest.approx(upscaled - lanczos, abs=0.011)
    with av.open(str(tmp_path / "demo" / "out.mp4")) as container:
        assert {(frame.width, frame.height) for frame in container.decode(video=0)} == {(144, 96)}
    with av.open(str(tmp_path / "demo" / "in.mp4")) as container:
        assert container.streams.video[0].width == 144 // scale
    with Image.open(tmp_path / "demo" / "compare.png") as picture:
        assert picture.width > 144 + 3 * CROP_SIZE[0] * ZOOM
        assert picture.height > 2 * CROP_SIZE[1] * ZOOM


def test_unknown_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--model", "esr_tr_x5", "--output", str(tmp_path / "demo")]) == 1
    assert "esr_tr_x5" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--nothing"])
    assert exit_info.value.code == 2
    assert "--model" in capsys.readouterr().err


def test_photographs_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_not_found(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "files", raise_not_found)
    assert main([]) == 1
    assert "error: scikit-image is not installed" in capsys.readouterr().err
