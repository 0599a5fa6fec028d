"""Values that go to a codec's process and back are the same; answers that cannot be right are refused."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest

from esr_media.color import ChromaLocation, Color, ColorRange
from esr_media.formats import pixel_format
from esr_media.packet import Packet
from esr_server.codecs import messages
from esr_server.codecs.channel import Channel, Head
from esr_upscale.errors import EngineError, FrameError, LimitError, UpscaleError
from esr_upscale.frame import Frame, KeyFrame
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import EncoderSettings

COLOR = Color(ColorRange.FULL, 9, 16, 9, ChromaLocation.TOPLEFT)


def through_json(head: Head) -> Head:
    """What the other side reads."""
    value: Head = json.loads(json.dumps(head))
    return value


@pytest.mark.parametrize(
    "settings",
    [
        DecoderSettings("h264", Fraction(1, 25)),
        DecoderSettings("vp9", Fraction(1, 25), b"\0\xff", COLOR, Fraction(4, 3), 90, 7, 8, 9, True, 3),
    ],
)
def test_decoder_settings(settings: DecoderSettings) -> None:
    head = through_json(messages.decoder_to(settings, "bwdif"))
    assert messages.decoder_from(head) == (settings, "bwdif")


@pytest.mark.parametrize(
    "settings",
    [
        EncoderSettings("libx264"),
        EncoderSettings("libx265", {"crf": "20"}, Fraction(30000, 1001), True, 2, Fraction(1, 90000)),
    ],
)
def test_encoder_settings(settings: EncoderSettings) -> None:
    assert messages.encoder_from(through_json(messages.encoder_to(settings))) == settings


@pytest.mark.parametrize("packet", [Packet(b"a"), Packet(b"data", -5, -7, 3, True, b"\0\1\xfe")])
def test_packet(packet: Packet) -> None:
    assert messages.packet_from(through_json(messages.packet_to(packet)), packet.data) == packet


def _frame() -> tuple[Frame, bytes]:
    data = bytes(range(96))
    planes = tuple(np.frombuffer(data, np.uint8, count, at).reshape(shape) for at, count, shape in
                   ((0, 64, (8, 8)), (64, 16, (4, 4)), (80, 16, (4, 4))))  # fmt: skip
    fmt = pixel_format("yuv420p")
    frame = Frame(
        fmt, 8, 8, planes, -1, 2, Fraction(1, 50), COLOR, Fraction(4, 3), 270, False, True, KeyFrame("h264", 9)
    )
    return frame, data


PLACES = [(0, 8), (64, 4), (80, 4)]


def test_frame() -> None:
    frame, data = _frame()
    back = messages.frame_from(through_json(messages.frame_to(frame, PLACES)), memoryview(data))
    for name in (field.name for field in fields(Frame) if field.name != "planes"):
        assert getattr(back, name) == getattr(frame, name), name
    assert all(np.array_equal(a, b) for a, b in zip(back.planes, frame.planes, strict=True))


@pytest.mark.parametrize("change", [(-1, 8), (40, 8), (0, 7), (0, 2**40), (2**70, 8)])
def test_a_plane_outside_its_memory(change: tuple[int, int]) -> None:
    frame, data = _frame()
    head = messages.frame_to(frame, [change, *PLACES[1:]])
    with pytest.raises(FrameError, match="plane 0 does not lie in its memory of 96 bytes"):
        messages.frame_from(through_json(head), memoryview(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"size": (0, 8)},
        {"size": (8, 2**31)},
        {"size": ("8", 8)},
        {"format": "x"},
        {"planes": []},
        {"time_base": None},
        {"time_base": (1, 0)},
        {"color": 1},
        {"color": (0, 256, 2, 2, 0)},
        {"key": [1]},
        {"key": ["h264", -1]},
        {"key": ["x", 1]},
        {"pts": "1"},
        {"duration": 2**63},
        {"rotation": 0.5},
    ],
)
def test_frames_that_cannot_be(changes: Head) -> None:
    frame, data = _frame()
    with pytest.raises((UpscaleError, ValueError, TypeError, ZeroDivisionError)):
        messages.frame_from(through_json(messages.frame_to(frame, PLACES)) | changes, memoryview(data))


def test_errors() -> None:
    back = messages.error_from(through_json(messages.error_to(LimitError("too large"))))
    assert (type(back), str(back)) == (LimitError, "too large")
    assert type(messages.error_from({"error": "SystemExit", "message": "1"})) is EngineError


def test_channel() -> None:
    left, right = socket.socketpair()
    one, other = Channel(left), Channel(right)
    one.send({"a": [1, None]}, b"data")
    assert other.receive() == ({"a": [1, None]}, b"data")
    with pytest.raises(TimeoutError):
        other.receive(time.monotonic() + 0.01)
    left.sendall(b"\xff" * 8)
    with pytest.raises(ValueError, match="too long"):
        other.receive()
    left.sendall(b"\2\0\0\0\0\0\0\0[]")
    with pytest.raises(ValueError, match="a JSON object"):
        other.receive()
    one.send({"a": []})
    left.sendall(b"\xa0\x86\1\0\0\0\0\0" + b"[" * 100_000)
    assert other.receive() == ({"a": []}, b"")
    with pytest.raises(ValueError, match="nested too deeply"):
        other.receive()
    one.close()
    with pytest.raises(EOFError):
        other.receive()
    other.close()
