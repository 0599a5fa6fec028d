"""Where a stream's chroma lies.

PyAV 19 has it as an attribute of a frame. For PyAV 18, FFmpeg's `trace_headers` bitstream filter prints the headers of
a packet to FFmpeg's log, and there it is read. The log's level is the process's; it is raised for one packet.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import av
import av.logging
from av.bitstream import BitStreamFilterContext, bitstream_filters_available
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from esr_media.color import ChromaLocation

_FILTER = "trace_headers"

# H.264 and HEVC count chroma_sample_loc_type from 0, left, in the order of FFmpeg's AVChromaLocation. AV1 knows two
# positions, of which its "vertical" is left.
_H26X = (re.compile(r"chroma_sample_loc_type_top_field\s.*= (\d+)"), {i: ChromaLocation(i + 1) for i in range(6)})
_AV1 = (
    re.compile(r"chroma_sample_position\s.*= (\d+)"),
    {1: ChromaLocation.LEFT, 2: ChromaLocation.TOPLEFT},
)
_HEADERS: Mapping[str, tuple[re.Pattern[str], Mapping[int, ChromaLocation]]] = {
    "h264": _H26X,
    "hevc": _H26X,
    "av1": _AV1,
}

_log_level = threading.Lock()


def chroma_location(frame: VideoFrame, stream: VideoStream, packet: Packet[Any]) -> ChromaLocation:
    """Return the siting of a frame that was decoded from `packet`; unspecified if it is not known."""
    location = getattr(frame, "chroma_location", None)
    # PyAV 18 cannot read it.
    return location_in_headers(stream, packet) if location is None else ChromaLocation(location)


def location_in_headers(stream: VideoStream, packet: Packet[Any]) -> ChromaLocation:
    """Return the siting that the headers before or in `packet` say; unspecified if they do not, or cannot be read."""
    header = _HEADERS.get(stream.codec_context.codec.canonical_name)
    if header is None or _FILTER not in bitstream_filters_available:
        return ChromaLocation.UNSPECIFIED
    pattern, locations = header
    matches = (pattern.search(line) for line in _trace(stream, packet))
    code = next((int(match[1]) for match in matches if match), -1)
    return locations.get(code, ChromaLocation.UNSPECIFIED)


def _trace(stream: VideoStream, packet: Packet[Any]) -> list[str]:
    # A filter takes the data out of the packet that it is given.
    copy: Packet[Any] = Packet(packet.size)
    copy.update(bytes(packet))
    with _capture_log() as logs:
        try:
            BitStreamFilterContext(_FILTER, stream).filter(copy)
        except av.FFmpegError:
            return []  # damaged headers; the decoder has the last word on them, and says it better
    return [message for _, _, message in logs]


@contextmanager
def _capture_log() -> Iterator[list[tuple[int, str, str]]]:
    with _log_level:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as logs:
                yield logs
        finally:
            av.logging.set_level(before)
