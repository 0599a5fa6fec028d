"""How inputs and errors of FFmpeg appear in messages."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import av

from esr_client._errors import OutputError


def shown(url: str) -> str:
    """The URL without user, password and query, which may be secrets; a path as it is."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def reason(error: Exception) -> str:
    """Why FFmpeg failed, without the name that it puts into its own messages."""
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    return str(error)


def output_error(path: str | os.PathLike[str], error: Exception) -> OutputError:
    """The error for an output that could not be written."""
    return OutputError(f"cannot write {os.fspath(path)}: {reason(error)}")
