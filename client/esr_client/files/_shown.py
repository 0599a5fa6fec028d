"""How inputs and errors of FFmpeg appear in messages."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import av

from esr_client._errors import InputError, OutputError


def display_name(url: str) -> str:
    """Return the URL without user, password and query, which may be secrets; a path as it is."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def reason(error: Exception) -> str:
    """Return why FFmpeg failed, without the name that it puts into its own messages."""
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    return str(error)


def has_protocol(scheme: str) -> bool:
    """Return whether PyAV's FFmpeg has a protocol, such as srt, which its wheels are built without."""
    try:
        av.open(f"{scheme}://", timeout=0).close()
    except av.ProtocolNotFoundError:
        return False
    except (av.FFmpegError, OSError):
        pass  # the protocol is there, and misses an address
    return True


def open_error(url: str, error: Exception) -> InputError:
    """Return the error for an input that could not be opened."""
    if isinstance(error, av.ProtocolNotFoundError) and os.path.exists(url):
        return InputError(f"the part of {url} before the colon is taken for a protocol: write ./{url}")
    if isinstance(error, av.ProtocolNotFoundError):
        scheme = urlsplit(url).scheme
        return InputError(
            f"cannot open {display_name(url)}: PyAV's FFmpeg has no {scheme}; let the ffmpeg program receive: "
            f"ffmpeg -i '{display_name(url)}' -c copy -f mpegts - | esr-client upscale - OUT"
        )
    text = f"cannot open {'standard input' if url == '-' else display_name(url)}: {reason(error)}"
    if url in ("-", "/dev/stdin"):
        text += "; an MP4 whose index is at its end cannot come through a pipe, and rawvideo needs --input-format"
    return InputError(text)


def output_error(path: str | os.PathLike[str], error: Exception) -> OutputError:
    """Return the error for an output that could not be written."""
    return OutputError(f"cannot write {os.fspath(path)}: {reason(error)}")
