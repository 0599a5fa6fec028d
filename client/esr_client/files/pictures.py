"""Still pictures through a server: PNG, JPEG, WebP, TIFF and AVIF, with their depth, alpha and metadata.

libvips reads and writes them. It is imported when a picture is opened: `pip install "edge-sr[pictures]"`.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_client._client import Client
from esr_client._errors import InputError, OutputError
from esr_client._frame import Frame
from esr_client.files._destination import check_file
from esr_client.files._part import PartFile
from esr_client.files._resize import WantedSize, default_model, scale_for

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"Q": 95, "subsample_mode": "off"},
    ".jpeg": {"Q": 95, "subsample_mode": "off"},
    ".webp": {"Q": 95},
    ".tif": {"compression": "deflate"},
    ".tiff": {"compression": "deflate"},
    ".avif": {"Q": 80},
}
"""Suffixes that can be written, with what makes losses invisible."""
_DEEP_SUFFIXES = (".png", ".tif", ".tiff")
_TRANSPARENT_SUFFIXES = (".png", ".webp", ".tif", ".tiff", ".avif")
_GRAY_SPACES = ("b-w", "grey16")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSettings:
    """Settings to upscale a picture."""

    model: str | None = None
    """None: esr_stack at the smallest scale that makes the wanted size; x2 if no size is wanted."""
    size: WantedSize = field(default_factory=WantedSize)
    overwrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureReport:
    """The result of a picture."""

    width: int
    height: int
    model: str
    elapsed_s: float


class PictureJob:
    """One picture, opened and checked; `run` sends it. No server is needed before that."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        out: str | os.PathLike[str],
        settings: PictureSettings | None = None,
        *,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """Check the names, read the picture, and choose the model.

        Raises:
            InputError: the picture cannot be read, or libvips is not installed.
            OutputError: the output cannot be written under this name.
        """
        self._settings = settings = settings or PictureSettings()
        self._notice = notice or (lambda _: None)
        self._out = Path(out)
        self._suffix = self._out.suffix.lower()
        if self._suffix not in _SAVE_OPTIONS:
            raise OutputError(f"{out} cannot be written as a picture; known are {', '.join(_SAVE_OPTIONS)}")
        check_file(self._out, os.fspath(source), overwrite=settings.overwrite)
        self._picture = self._open(os.fspath(source))
        self._size = settings.size.of(self._picture.width, self._picture.height, even=False)
        scale = 2 if self._size is None else scale_for(self._size, self._picture.width, self._picture.height)
        self.model = settings.model or default_model(scale)

    def _open(self, source: str) -> Any:  # noqa: ANN401 -- a pyvips.Image, which has no types
        vips = _vips()
        if not os.path.exists(source):
            raise InputError(f"cannot open {source}: no such file")
        try:
            # What is missing of a damaged file would be gray, without a word.
            picture = vips.Image.new_from_file(source, fail_on="truncated")
            if picture.get_typeof("n-pages") and picture.get("n-pages") > 1:
                self._notice(f"{source} has {picture.get('n-pages')} pages; the first is upscaled")
            deep = picture.format not in ("uchar", "char")
            if picture.interpretation not in ("srgb", "rgb16", *_GRAY_SPACES):
                picture = picture.colourspace("rgb16" if deep else "srgb")
                picture.remove("icc-profile-data")  # of the colours that it had, such as CMYK
            elif picture.format not in ("uchar", "ushort"):
                picture = picture.cast("ushort")
            # Decode now, so that damage is found before a server is asked.
            return picture.copy_memory()
        except vips.Error as error:
            raise InputError(f"cannot read {source}: {_reason(error)}") from error

    def run(self, client: Client) -> PictureReport:
        """Send the picture and write the output.

        Raises:
            OutputError: the output cannot be written.
            EsrError: the server refused the picture.
        """
        started = time.monotonic()
        pixels: NDArray[Any] = self._picture.numpy()
        pixels = pixels.reshape(self._picture.height, self._picture.width, self._picture.bands)
        has_alpha = bool(self._picture.hasalpha())
        colour, alpha = (pixels[:, :, :-1], pixels[:, :, -1:]) if has_alpha else (pixels, None)
        upscaled = _upscale(client, colour, self.model)
        parts = [upscaled]
        if alpha is not None:
            # A model sharpens; what a mask needs is a smooth edge.
            scale = upscaled.shape[0] // pixels.shape[0]
            parts.append(_upscale(client, alpha, f"bicubic_x{scale}"))
        result = self._finish(np.concatenate(parts, axis=2))
        self._write(result)
        return PictureReport(
            width=result.width, height=result.height, model=self.model, elapsed_s=time.monotonic() - started
        )

    def _finish(self, pixels: NDArray[Any]) -> Any:  # noqa: ANN401 -- a pyvips.Image
        vips = _vips()
        result = vips.Image.new_from_array(np.ascontiguousarray(pixels))
        result = result.copy(interpretation=self._picture.interpretation)
        for name in self._picture.get_fields():
            # The header belongs to the new picture; what else was known (EXIF, ICC profile, XMP) belongs to both.
            if name not in _HEADER_FIELDS:
                result.set_type(self._picture.get_typeof(name), name, self._picture.get(name))
        if self._size is None:
            return result
        width, height = self._size
        if width > result.width or height > result.height:
            raise InputError(
                f"{self.model} makes {result.width}x{result.height}, which is less than {width}x{height}; "
                "choose a model of a larger scale, or none"
            )
        return result.resize(width / result.width, vscale=height / result.height, kernel="lanczos3")

    def _write(self, result: Any) -> None:  # noqa: ANN401 -- a pyvips.Image
        if result.format == "ushort" and self._suffix not in _DEEP_SUFFIXES:
            self._notice(f"{self._suffix} holds 8 bits here; the picture has 16: it is rounded")
            result = result.colourspace("b-w" if result.interpretation in _GRAY_SPACES else "srgb")
        if result.hasalpha() and self._suffix not in _TRANSPARENT_SUFFIXES:
            self._notice(f"{self._suffix} cannot hold transparency; it is laid on white")
            result = result.flatten(background=[255])
        part = PartFile(self._out)
        try:
            result.write_to_file(str(part.path), **_SAVE_OPTIONS[self._suffix])
            part.commit()
        except (_vips().Error, OSError) as error:
            raise OutputError(f"cannot write {self._out}: {_reason(error)}") from error
        finally:
            part.close()


STRIP_PIXELS = 4_000_000
"""Of one request: half of the largest picture that a server takes by default. Photographs are larger."""
_STRIP_MARGIN = 16
"""Rows above and below a strip; the filters of no network reach further, so no seam can be seen."""
_HEADER_FIELDS = frozenset(
    {
        *("width", "height", "bands", "format", "coding", "interpretation"),
        *("xoffset", "yoffset", "xres", "yres", "filename", "n-pages", "page-height", "vips-loader"),
    }
)


def _upscale(client: Client, pixels: NDArray[Any], model: str) -> NDArray[Any]:
    """Return a (H, W, 1) or (H, W, 3) array of uint8 or uint16 upscaled by a model, in strips that a server takes."""
    height, width, bands = pixels.shape
    deep = pixels.dtype == np.uint16
    name = {(1, False): "gray", (1, True): "gray16le", (3, False): "rgb24", (3, True): "rgb48le"}[bands, deep]
    rows = max(1, STRIP_PIXELS // width)
    strips: list[NDArray[Any]] = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(0, top - _STRIP_MARGIN), min(height, bottom + _STRIP_MARGIN)
        plane = np.ascontiguousarray(pixels[first:last]).reshape(last - first, width * bands)
        upscaled = client.upscale_image(Frame((plane,), width, last - first, name), model=model, timeout_s=None)
        scale = upscaled.height // (last - first)
        strip = upscaled.planes[0].reshape(upscaled.height, upscaled.width, bands)
        strips.append(strip[(top - first) * scale : (bottom - first) * scale])
    return np.concatenate(strips)


def upscale_picture(
    client: Client,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: PictureSettings | None = None,
    *,
    notice: Callable[[str], None] | None = None,
) -> PictureReport:
    """Upscale a picture file. Depth, alpha, EXIF (orientation too), XMP and the ICC profile are kept.

    Raises:
        MediaError: the picture cannot be read or written.
        EsrError: the server refused the picture.
    """
    return PictureJob(source, out, settings, notice=notice).run(client)


def _vips() -> Any:  # noqa: ANN401 -- pyvips has no types
    try:
        return importlib.import_module("pyvips")
    except ModuleNotFoundError:
        raise InputError('pictures need libvips: pip install "edge-sr[pictures]"') from None


def _reason(error: Exception) -> str:
    """Return the last line of libvips's message, which says the cause."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
