"""Limits, and the message sizes that follow from them."""

from __future__ import annotations

import pytest

from esr_server.config import Limits
from esr_upscale.errors import FrameError, LimitError

OVERHEAD = 64 * 1024


def test_messages_hold_the_largest_frame_and_no_more() -> None:
    limits = Limits(max_pixels=1920 * 1080, max_output_pixels=3840 * 2160, max_packet_bytes=1)
    largest = 6  # bytes of a pixel of yuv444p10le
    assert 1920 * 1080 * largest < limits.max_receive_bytes < 1920 * 1080 * largest * 1.1 + 2 * OVERHEAD
    assert 3840 * 2160 * largest < limits.max_send_bytes < 3840 * 2160 * largest * 1.1 + 2 * OVERHEAD


def test_a_packet_may_be_larger_than_a_frame() -> None:
    assert Limits(max_pixels=1, max_packet_bytes=10_000_000).max_receive_bytes == 10_000_000 + OVERHEAD


def test_no_message_is_larger_than_grpc_can_say() -> None:
    assert Limits(max_pixels=10**10, max_output_pixels=10**11).max_send_bytes == 2**31 - 1


@pytest.mark.parametrize(
    ("size", "scale", "error", "says"),
    [
        ((0, 5), 2, FrameError, "at least 1x1, not 0x5"),
        ((11, 10), 2, LimitError, "11x10 picture has 110 pixels; this server takes at most 100"),
        ((10, 10), 3, LimitError, "10x10 at x3 makes 900 pixels; this server makes at most 400"),
    ],
)
def test_what_is_over_a_limit_says_which(size: tuple[int, int], scale: int, error: type[Exception], says: str) -> None:
    limits = Limits(max_pixels=100, max_output_pixels=400)
    limits.check(10, 10, 2)
    with pytest.raises(error, match=says):
        limits.check(*size, scale)
