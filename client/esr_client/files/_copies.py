"""Streams that are copied as they are, and what is said of containers, streams and chapters."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

if TYPE_CHECKING:
    from av.container.core import Chapter

# Muxers write these themselves; the old ones would be wrong.
_STALE = re.compile(r"encoder|duration|major_brand|minor_version|compatible_brands|_statistics_.*", re.IGNORECASE)
_STALE_OF_VIDEO = re.compile(r"bps|number_of_(frames|bytes)|.*-eng|vendor_id", re.IGNORECASE)


def lasting_metadata(metadata: Mapping[str, str], *, upscaled: bool = False) -> dict[str, str]:
    """Return the metadata that stay true in the copy."""
    return {
        key: value
        for key, value in metadata.items()
        if not _STALE.fullmatch(key) and not (upscaled and _STALE_OF_VIDEO.fullmatch(key))
    }


def describe(stream: Stream) -> str:
    """Return a stream for a message: number, type, codec."""
    context = getattr(stream, "codec_context", None)
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    return f"#{stream.index} {stream.type}" + (f" ({codec})" if codec else "")


def add_copy(output: OutputContainer, stream: Stream) -> Stream:
    """Add a stream to `output` that takes the packets of `stream`.

    Raises:
        ValueError, av.FFmpegError: the container does not take this codec.
    """
    copy: Any = output.add_stream_from_template(stream, opaque=True)
    copy.disposition = stream.disposition
    copy.metadata.update(lasting_metadata(stream.metadata))
    added: Stream = copy
    return added


def can_hold(format_name: str, stream: Stream) -> bool:
    """Return whether a container takes a stream. Only its muxer knows: let it begin a file in memory."""
    if stream.type not in ("video", "audio", "subtitle", "data", "attachment"):
        return False
    # The muxer of playlists writes segments of MPEG-TS to the working directory, also when it is only asked.
    probed = "mpegts" if format_name == "hls" else format_name
    output = av.open(io.BytesIO(), "w", format=probed)
    try:
        add_copy(output, stream)
        output.start_encoding()
    except (ValueError, TypeError, AttributeError, av.FFmpegError):
        return False
    finally:
        # The trailer of a file without packets may fail; no one wants that file.
        with contextlib.suppress(ValueError, av.FFmpegError):
            output.close()
    return True


def copy_chapters(source: InputContainer, output: OutputContainer, *, shift_s: Fraction = Fraction(0)) -> None:
    """Copy chapters and the container's metadata. Chapters move `shift_s` seconds back; those before 0 are left out."""
    output.metadata.update(lasting_metadata(source.metadata))
    chapters: list[Chapter] = []
    for chapter in source.chapters():
        time_base = chapter["time_base"]
        if shift_s and time_base:
            ticks = round(shift_s / time_base)
            chapter = {**chapter, "start": max(0, chapter["start"] - ticks), "end": chapter["end"] - ticks}
        if chapter["end"] > 0:
            chapters.append(chapter)
    if chapters:
        output.set_chapters(chapters)
