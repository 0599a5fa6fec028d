"""NAL units of H.264 and HEVC, counted before a decoder sees them, and how much of a packet is no picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

_START_CODE = b"\0\0\1"
_LENGTH_AT = {"h264": 4, "hevc": 21}
"""Where a container's codec header (avcC, hvcC) says in its last two bits how long a length is, less 1."""
_IS_SEI: Mapping[str, Callable[[int], bool]] = MappingProxyType(
    {"h264": lambda first: first & 31 == 6, "hevc": lambda first: first >> 1 & 63 in (39, 40)}
)
"""Whether a unit is supplemental enhancement information, by its first byte (ITU-T H.264, 7.3.1; H.265, 7.3.1.2)."""


def count_nal_units(codec: str, data: bytes, extradata: bytes, most: int) -> int:
    """Count the NAL units of a packet, no further than `most` + 1.

    Start codes separate them, or lengths where the extradata is a container's codec header. A decoder that finds damage
    there may go by start codes after all, so that the larger count holds.
    """
    codes = min(data.count(_START_CODE), most + 1)
    size = _size_of_length(codec, extradata)
    if not size:
        return codes
    units = position = 0
    while position + size <= len(data) and units <= most:
        position += size + int.from_bytes(data[position : position + size], "big")
        units += 1
    return max(codes, units)


def sei_bytes(codec: str, data: bytes, extradata: bytes) -> int:
    """Return how many bytes of a packet are SEI, such as captions, or the settings that x264 writes first of all.

    0 for codecs without NAL units.
    """
    if codec not in _IS_SEI:
        return 0
    size = _size_of_length(codec, extradata)
    return sum(end - start for start, end in _units(data, size) if start < end and _IS_SEI[codec](data[start]))


def _size_of_length(codec: str, extradata: bytes) -> int:
    """Return how many bytes say how long a unit is; 0 where start codes separate them."""
    if not extradata or extradata.startswith((_START_CODE, b"\0" + _START_CODE)):
        return 0
    at = _LENGTH_AT[codec]
    return (extradata[at] & 3) + 1 if at < len(extradata) else 4


def _units(data: bytes, size: int) -> Iterator[tuple[int, int]]:
    """Yield where each unit begins and ends: after a length of `size` bytes or, if that is 0, between start codes."""
    if size:
        position = 0
        while position + size < len(data):
            start = position + size
            position = start + int.from_bytes(data[position:start], "big")
            yield start, min(position, len(data))
        return
    position = data.find(_START_CODE)
    while position >= 0:
        start = position + len(_START_CODE)
        position = data.find(_START_CODE, start)
        yield start, position if position >= 0 else len(data)
