"""Where the output goes: a file that is renamed into place, a pipe, or a URL that FFmpeg writes to."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from urllib.parse import urlsplit

import av.format

from esr_client._errors import OutputError
from esr_client.files._shown import display_name, has_protocol

STANDARD_STREAM = "-"
"""The name of standard input and standard output."""

_SUFFIX_FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".avi": "avi",
    ".flv": "flv",
    ".nut": "nut",
    ".y4m": "yuv4mpegpipe",
    ".m3u8": "hls",
}
FILE_SUFFIXES = tuple(suffix for suffix in _SUFFIX_FORMATS if suffix != ".m3u8")
"""Suffixes of outputs that are one file."""

SEQUENCE_CODECS = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".jpg": "mjpeg", ".jpeg": "mjpeg"}
"""Encoders of numbered pictures, by suffix."""

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif")
_NUMBER = re.compile(r"%0?\d*d")

_SCHEME_FORMATS = {
    "rtmp": "flv",
    "rtmps": "flv",
    "udp": "mpegts",
    "srt": "mpegts",
    "tcp": "mpegts",
    "rtp": "rtp_mpegts",
    "rtsp": "rtsp",
}
_OPTIONAL_SCHEMES = ("srt",)
"""Those that an FFmpeg may be built without."""
_FORMAT_NAMES = {"y4m": "yuv4mpegpipe", "mkv": "matroska", "ts": "mpegts"}
"""Names that people say for FFmpeg's names of formats."""

# Every player reads it from a pipe. nut has finer times, but FFmpeg delays all of them where there are B-frames.
_PIPE_FORMAT = "matroska"
_MOVIE_FORMATS = ("mp4", "mov", "ipod", "3gp", "3g2", "psp", "f4v")
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}  # a pipe cannot go back to write an index
_WHOLE_PLAYLIST = {"hls_list_size": "0", "hls_playlist_type": "event"}


class Kind(Enum):
    """The way in which an output is written."""

    FILE = auto()
    """To a temporary file that is renamed into place."""
    PIPE = auto()
    """To standard output, a FIFO or a device."""
    URL = auto()
    """By FFmpeg, to an address on the network or as the segments of a playlist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An output that was named on a command line, with the container to write."""

    name: str
    """For messages."""
    url: str
    """A path or a URL."""
    kind: Kind
    format_name: str
    """FFmpeg's name of the container."""
    options: Mapping[str, str] = field(default_factory=dict)
    """FFmpeg's options of the muxer."""
    codec: str | None = None
    """The encoder that the name asks for; None: the container's default."""

    @property
    def is_movie(self) -> bool:
        """Return whether the container is one of the MP4 family."""
        return self.format_name in _MOVIE_FORMATS

    @property
    def is_live(self) -> bool:
        """Return whether someone may watch while the output is written."""
        return self.kind is Kind.URL and "://" in self.url

    @property
    def is_playlist(self) -> bool:
        """Return whether the output is a playlist with segments."""
        return self.format_name == "hls"


def parse_destination(out: str | os.PathLike[str], format_name: str | None = None) -> Destination:
    """Return where an output goes, and in which container.

    Raises:
        OutputError: the container is not known, or the protocol is not.
    """
    name = os.fspath(out)
    explicit_format = None if format_name is None else output_format(format_name)
    if name == STANDARD_STREAM or name == "/dev/stdout":
        return _pipe("standard output", STANDARD_STREAM, explicit_format)
    scheme = urlsplit(name).scheme if "://" in name else ""
    if scheme:
        return _url(name, scheme, explicit_format)
    path = Path(name)
    if path.exists() and not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):
        return _pipe(name, name, explicit_format or _SUFFIX_FORMATS.get(path.suffix.lower()))
    if _NUMBER.search(path.name) and path.suffix.lower() in SEQUENCE_CODECS:
        codec = SEQUENCE_CODECS[path.suffix.lower()]
        return Destination(name=name, url=name, kind=Kind.URL, format_name="image2", codec=codec)
    container = explicit_format or _SUFFIX_FORMATS.get(path.suffix.lower())
    if container is None and path.suffix.lower() in _PICTURE_SUFFIXES:
        raise OutputError(
            f"{path.name!r} is one picture: a video becomes pictures numbered by a pattern, such as frame_%04d.png, "
            f"and one picture is made of one of {', '.join(_PICTURE_SUFFIXES)}"
        )
    if container is None:
        suffixes = ", ".join(_SUFFIX_FORMATS)
        raise OutputError(
            f"{path.name!r} has no suffix of a known container; known are {suffixes}, or name it with --output-format"
        )
    if container == "hls":
        return Destination(name=name, url=name, kind=Kind.URL, format_name=container, options=_WHOLE_PLAYLIST)
    return Destination(name=name, url=name, kind=Kind.FILE, format_name=container)


def _pipe(name: str, url: str, format_name: str | None) -> Destination:
    container = format_name or _PIPE_FORMAT
    if container == "hls":
        raise OutputError(f"a playlist has segments next to it, which {name} cannot hold; name a file such as out.m3u8")
    options = _FRAGMENTED if container in _MOVIE_FORMATS else {}
    return Destination(name=name, url=url, kind=Kind.PIPE, format_name=container, options=options)


def _url(url: str, scheme: str, format_name: str | None) -> Destination:
    suffix = Path(urlsplit(url).path).suffix.lower()
    usual = _SUFFIX_FORMATS.get(suffix, "mpegts") if scheme in ("http", "https") else _SCHEME_FORMATS.get(scheme)
    if usual is None:
        raise OutputError(
            f"cannot write to {scheme}://; an output is a file, - for standard output, "
            f"or a URL of {', '.join((*_SCHEME_FORMATS, 'http'))}"
        )
    if scheme in _OPTIONAL_SCHEMES and not has_protocol(scheme):
        raise OutputError(
            f"PyAV's FFmpeg has no {scheme}; let the ffmpeg program send: esr-client upscale IN - "
            f"--output-format mpegts | ffmpeg -re -i - -c copy -f mpegts '{display_name(url)}'"
        )
    container = format_name or usual
    options = dict(_WHOLE_PLAYLIST) if container == "hls" else {"flush_packets": "1"}
    if scheme in ("http", "https"):
        options["method"] = "PUT"
    return Destination(name=display_name(url), url=url, kind=Kind.URL, format_name=container, options=options)


_COMMON_FORMATS = "common ones are y4m, nut, matroska, mpegts, mp4 and rawvideo"


def _format(name: str) -> av.format.ContainerFormat | None:
    """Return one of FFmpeg's formats, by its name or by the one that people say for it."""
    format_name = _FORMAT_NAMES.get(name, name)
    return av.format.ContainerFormat(format_name) if format_name in av.format.formats_available else None


def output_format(name: str) -> str:
    """Return FFmpeg's name of a container to write.

    Raises:
        OutputError: FFmpeg cannot write it.
    """
    container = _format(name)
    if container is None or not container.is_output:
        raise OutputError(f"unknown output format {name!r}; {_COMMON_FORMATS}")
    return _FORMAT_NAMES.get(name, name)


def input_format(name: str) -> str:
    """Return FFmpeg's name of a container to read.

    Raises:
        ValueError: FFmpeg cannot read it.
    """
    container = _format(name)
    if container is None or not container.is_input:
        raise ValueError(f"unknown input format {name!r}; {_COMMON_FORMATS}")
    return _FORMAT_NAMES.get(name, name)


def numbered_files(pattern: Path) -> dict[int, Path]:
    """Return the files that a name with one %d or %04d stands for, by their numbers."""
    before, after = _NUMBER.split(pattern.name, maxsplit=1)
    numbered_name = re.compile(f"{re.escape(before)}(\\d+){re.escape(after)}")
    matches = ((numbered_name.fullmatch(path.name), path) for path in pattern.parent.glob("*"))
    return {int(match[1]): path for match, path in sorted(matches, key=lambda pair: pair[1]) if match}


def check_file(path: Path, source: str, *, overwrite: bool, makes_folder: bool = False) -> None:
    """Refuse to write a file that must not be replaced. A pattern stands for all of its files.

    With `makes_folder` its folder need not be there, because who writes the file makes it.

    Raises:
        OutputError: the file exists or is the source, its folder does not exist, or it is a folder.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it, such as {path / 'out.mp4'}")
    if not makes_folder and not path.parent.is_dir():
        raise OutputError(f"there is no folder {path.parent}")
    if _NUMBER.search(path.name) and not overwrite:
        existing = next(iter(numbered_files(path).values()), None)
        if existing is not None:
            raise OutputError(f"{existing} exists; add --overwrite to replace it, or choose another name")
    if not path.exists():
        return
    if os.path.exists(source) and os.path.samefile(source, path):
        raise OutputError(f"{path} is the input itself; choose another name for the output")
    if not overwrite:
        raise OutputError(f"{path} exists; add --overwrite to replace it, or choose another name")


def is_pipe(url: str) -> bool:
    """Return whether an input is standard input, a FIFO or a character device."""
    if url in (STANDARD_STREAM, "/dev/stdin"):
        return True
    if "://" in url or not os.path.exists(url):
        return False
    mode = os.stat(url).st_mode
    return stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and sys.platform != "win32")
