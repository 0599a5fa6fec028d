"""Limits of FFmpeg's numeric fields, and of the times that are added and doubled in them."""

from __future__ import annotations

INT32_MAX = 2**31 - 1
"""The largest numerator and denominator of FFmpeg's ratios, and the largest of its bit rates."""

INT64_MAX = 2**63 - 1
"""The largest that FFmpeg's times can be at all."""

TIME_MAX = 2**62 - 1
"""The largest pts, dts or duration. The sum of two, and twice one, still fit int64; -2**63 is FFmpeg's "unknown"."""

CODE_POINT_MAX = 255
"""The largest code point of ITU-T H.273, which is one byte in every bitstream."""
