"""NAL units of H.264 and HEVC, counted before a decoder sees them."""

from __future__ import annotations

_START_CODE = b"\0\0\1"
_LENGTH_AT = {"h264": 4, "hevc": 21}
"""Where a container's codec header (avcC, hvcC) says in its last two bits how long a length is, less 1."""


def count_nal_units(codec: str, data: bytes, extradata: bytes, most: int) -> int:
    """Count the NAL units of a packet, no further than `most` + 1.

    Start codes separate them, or lengths where the extradata is a container's codec header. A decoder that finds damage
    there may go by start codes after all, so that the larger count holds.
    """
    codes = min(data.count(_START_CODE), most + 1)
    if not extradata or extradata.startswith((_START_CODE, b"\0" + _START_CODE)):
        return codes
    at = _LENGTH_AT[codec]
    size = (extradata[at] & 3) + 1 if at < len(extradata) else 4
    units = position = 0
    while position + size <= len(data) and units <= most:
        position += size + int.from_bytes(data[position : position + size], "big")
        units += 1
    return max(codes, units)
