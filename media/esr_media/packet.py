"""A packet: one compressed access unit with its time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed access unit, as a demuxer or an encoder gives it.

    Times are in units of the stream's time base; None is "unknown". `new_extradata` holds codec headers that apply from
    this packet on, or is empty.
    """

    data: bytes = field(repr=False)
    pts: int | None = None
    dts: int | None = None
    duration: int | None = None
    is_keyframe: bool = False
    new_extradata: bytes = field(default=b"", repr=False)
