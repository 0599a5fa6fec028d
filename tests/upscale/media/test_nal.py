"""What of a packet is SEI, and so no picture."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from esr_upscale.media.nal import sei_bytes
from tests.support.pictures import synthetic_luma

SEI, SLICE = {"h264": b"\x06", "hevc": b"\x4e\x01"}, {"h264": b"\x65", "hevc": b"\x26\x01"}
EXTRADATA = {"h264": bytes([1, 66, 0, 30, 0xFF]), "hevc": bytes(21) + b"\xff"}  # lengths of 4 bytes


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_units_of_both_kinds(codec: str) -> None:
    units = [SEI[codec] + bytes(range(1, 30)), SLICE[codec] + bytes(range(1, 90)), SEI[codec] + b"\x05"]
    expected = len(units[0]) + len(units[2])
    by_length = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    assert sei_bytes(codec, by_length, EXTRADATA[codec]) == expected
    assert sei_bytes(codec, b"".join(b"\0\0\1" + unit for unit in units), b"") == expected


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\1", b"\0\0\0\0", b"\xff\xff\xff\xff\x06", b"\0\0\0\x02\x06"])
def test_damaged_packets(data: bytes) -> None:
    for extradata in (b"", EXTRADATA["h264"], b"\1"):
        assert 0 <= sei_bytes("h264", data, extradata) <= len(data)


@pytest.mark.parametrize("container", ["matroska", "h264"])
def test_the_settings_of_x264(container: str) -> None:
    """x264 writes its settings in front of the first picture: more bytes than a small picture has."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(synthetic_luma(48, 64), format="gray")))
        output.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as source:
        extradata = source.streams.video[0].codec_context.extradata or b""
        first = bytes(next(source.demux(video=0)))
    assert b"x264 - core" in first
    assert 500 < sei_bytes("h264", first, extradata) < len(first)


def test_other_codecs_have_none() -> None:
    assert sei_bytes("vp9", np.arange(256, dtype=np.uint8).tobytes(), b"") == 0
