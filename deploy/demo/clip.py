"""The clip of the demo: a window that pans by parts of a pixel over photographs, made small and coded as video is.

The photographs come with the package scikit-image, and nothing is downloaded. They are clean: neither a codec nor
grain has a part in the original, so PSNR against it says how near a picture is.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image

_PACKAGE = "scikit-image"
FORMAT = "yuv420p"
FPS = 25
CRF = 26
SIZE = (480, 360)
"""Width and height: 2, 3 and 4 divide them into even numbers."""
FRAMES = 60
"""Frames of each photograph."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture file of the package, how the window moves over it, and what its licence asks for."""

    name: str
    start_px: tuple[float, float]
    """Left and top of the window in the first frame."""
    velocity_px: tuple[float, float]
    """To the right and down, per frame."""
    credit: str

    def read(self) -> Image.Image:
        """Return the picture in RGB. The package is not imported.

        Raises:
            FileNotFoundError: the package is not installed or does not carry the picture.
        """
        try:
            files = importlib.metadata.files(_PACKAGE) or []
        except importlib.metadata.PackageNotFoundError:
            raise FileNotFoundError(f"{_PACKAGE} is not installed: pip install '.[server,demo]'") from None
        for file in files:
            if file.match(f"skimage/data/{self.name}.png"):
                with Image.open(Path(str(file.locate()))) as image:
                    return image.convert("RGB")
        raise FileNotFoundError(f"{_PACKAGE} carries no {self.name}.png")


PHOTOGRAPHS = (
    Photograph("astronaut", (5.0, 4.0), (0.31, 1.37), "astronaut: NASA, public domain"),
    Photograph("coffee", (24.0, 5.0), (1.29, 0.43), "coffee: Rachel Michetti, CC0"),
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One photograph's frames, in the clip's format."""

    name: str
    frames: tuple[av.VideoFrame, ...]


def pan(
    picture: Image.Image, start_px: tuple[float, float], velocity_px: tuple[float, float], count: int
) -> Iterator[av.VideoFrame]:
    """Give the frames that a window of SIZE shows while it moves over a picture, resampled by Lanczos.

    Raises:
        ValueError: the window leaves the picture.
    """
    for index in range(count):
        left, top = (start + velocity * index for start, velocity in zip(start_px, velocity_px, strict=True))
        box = (left, top, left + SIZE[0], top + SIZE[1])
        window = np.asarray(picture.resize(SIZE, Image.Resampling.LANCZOS, box))
        frame = av.VideoFrame.from_ndarray(window, format="rgb24")
        yield frame.reformat(format=FORMAT, interpolation=Interpolation.BICUBIC)


def photograph_shots() -> list[Shot]:
    """Return the demo's original.

    Raises:
        FileNotFoundError: the photographs are not installed.
    """
    return [
        Shot(photo.name, tuple(pan(photo.read(), photo.start_px, photo.velocity_px, FRAMES))) for photo in PHOTOGRAPHS
    ]


def write_small(shots: Sequence[Shot], scale: int, path: Path) -> None:
    """Write the shots `scale` times as small: FFmpeg's bicubic, its default, and x264 at CRF 26 with its defaults."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=FPS, options={"crf": str(CRF)})
        stream.pix_fmt = FORMAT
        first = shots[0].frames[0]
        stream.width, stream.height = first.width // scale, first.height // scale
        for index, frame in enumerate(frame for shot in shots for frame in shot.frames):
            small = frame.reformat(stream.width, stream.height, interpolation=Interpolation.BICUBIC)
            small.pts = index
            output.mux(stream.encode(small))
        output.mux(stream.encode(None))


def read_video(path: Path) -> list[av.VideoFrame]:
    """Return the frames of a file, decoded."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))
