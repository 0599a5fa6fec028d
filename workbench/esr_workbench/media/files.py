"""Frames of a video file, for the workbench. The service takes packets and never opens a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from esr_media.ratio import to_fraction
from esr_upscale.errors import InvalidInputError, MediaDataError, UpscaleError
from esr_upscale.frame import Frame
from esr_upscale.media.frames import FrameTags, from_av


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of the first video stream of a file, in order of presentation, in any codec that FFmpeg decodes.

    Raises:
        InvalidInputError: the file cannot be opened or has no video.
        MediaDataError: it cannot be decoded to its end.
        UnsupportedFormatError: its pixel format is not in the table.
    """
    with _raise_as(InvalidInputError, f"{path} cannot be opened as a video"):
        container = av.open(str(path))
    with container, _raise_as(MediaDataError, f"{path} cannot be decoded"):
        if not container.streams.video:
            raise InvalidInputError(f"{path} has no video stream")
        stream = container.streams.video[0]
        tags = FrameTags(to_fraction(stream.time_base) or Fraction(1, 90000))
        for frame in container.decode(stream):
            yield from_av(frame, tags)


@contextmanager
def _raise_as(as_error: type[UpscaleError], what: str) -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        raise as_error(f"{what}: {error.strerror}") from error
