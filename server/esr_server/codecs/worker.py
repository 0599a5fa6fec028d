"""The work of a codec's process: answer each request of the server, until it closes the connection."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from esr_media.slots import PLANE_ALIGNMENT, align_up
from esr_server.codecs.channel import Channel, Head
from esr_server.codecs.codec import DeinterlacingDecoder
from esr_server.codecs.confinement import limit_memory
from esr_server.codecs.messages import (
    Places,
    decoder_from,
    encoder_from,
    error_to,
    frame_from,
    frame_to,
    packet_from,
    packet_to,
)
from esr_upscale.errors import LimitError, UpscaleError
from esr_upscale.frame import Frame
from esr_upscale.media.encode import EncodedFrame, Encoder

_DECODER_BYTES, _DECODER_BYTES_PER_PIXEL = 512 << 20, 96
_ENCODER_BYTES, _ENCODER_BYTES_PER_PIXEL = 1 << 30, 512
"""Memory that a codec may take: a decoder's 16 reference pictures at 3 or 6 bytes a pixel, and an encoder's lookahead
of 60 pictures and more, with a thread's arena each.
"""


def serve(channel: Channel, memory: memoryview) -> None:
    """Open the codec that the first request asks for, then answer requests in turn."""
    try:
        head, _ = channel.receive()
        try:
            worker = _open(head, memory)
        except UpscaleError as error:
            channel.send(error_to(error))
            return
        channel.send({})
        while True:
            head, data = channel.receive()
            try:
                answer, payload = worker.answer(head, data)
            except UpscaleError as error:
                answer, payload = error_to(error), b""
            channel.send(answer | worker.state, payload)
    except (EOFError, ConnectionError):  # the stream has ended
        return


def _open(head: Head, memory: memoryview) -> DecodeWorker | EncodeWorker:
    if "decoder" in head:
        return DecodeWorker(head["decoder"], memory, head["slot_bytes"])
    return EncodeWorker(head["encoder"], memory)


class DecodeWorker:
    """Answers `push`, `next` and `flush` with one frame each, which lies in the slot that the request names."""

    def __init__(self, head: Head, memory: memoryview, slot_bytes: int) -> None:
        settings, deinterlace = decoder_from(head)
        limit_memory(_DECODER_BYTES + _DECODER_BYTES_PER_PIXEL * settings.max_pixels)
        self._decoder = DeinterlacingDecoder(settings, deinterlace)
        self._memory, self._slot_bytes = memory, slot_bytes
        self._frames: Iterator[Frame] = iter(())
        self._following: Frame | UpscaleError | None = None

    @property
    def state(self) -> Head:
        return {"skipped": self._decoder.packets_skipped}

    def answer(self, head: Head, data: bytes) -> tuple[Head, bytes]:
        """Return the next frame, and whether it is the last of its packet; no frame if there is none."""
        if head["do"] != "next":
            push, flush = self._decoder.push, self._decoder.flush
            self._frames = push(packet_from(head["packet"], data)) if head["do"] == "push" else flush()
            self._look_ahead()
        frame = self._following
        if frame is None:
            return {"last": True}, b""
        if isinstance(frame, UpscaleError):
            self._following = None
            raise frame
        places = self._store(frame, head["slot"])
        self._look_ahead()
        return {"frame": frame_to(frame, places), "last": self._following is None}, b""

    def _look_ahead(self) -> None:
        # All frames of a packet are decoded at once: the next one is there, and saves a request that gives nothing.
        try:
            self._following = next(self._frames, None)
        except UpscaleError as error:
            self._following = error

    def _store(self, frame: Frame, slot: int) -> Places:
        end = slot * self._slot_bytes
        places = []
        for index, plane in enumerate(frame.planes):
            start = align_up(end, PLANE_ALIGNMENT)
            stride = align_up(frame.format.row_bytes(index, frame.width), PLANE_ALIGNMENT)
            end = start + stride * len(plane)
            if end > (slot + 1) * self._slot_bytes:
                raise LimitError(f"a frame of {frame.width}x{frame.height} is larger than its slot")
            rows = np.frombuffer(self._memory[start:end], plane.dtype).reshape(len(plane), -1)
            np.copyto(rows[:, : plane.shape[1]], plane)
            places.append((start - slot * self._slot_bytes, stride))
        return places


class EncodeWorker:
    """Answers `push` of the frame in memory, and `flush`, with the packets that are ready."""

    def __init__(self, head: Head, memory: memoryview) -> None:
        self._encoder = Encoder(encoder_from(head))
        self._memory = memory
        self._is_limited = False

    @property
    def state(self) -> Head:
        return {}

    def answer(self, head: Head, _data: bytes) -> tuple[Head, bytes]:
        """Return packets, the data of all one after the other."""
        if head["do"] == "flush":
            return _packets(self._encoder.flush())
        frame = frame_from(head["frame"], self._memory)
        if not self._is_limited:
            limit_memory(_ENCODER_BYTES + _ENCODER_BYTES_PER_PIXEL * frame.width * frame.height)
            self._is_limited = True
        return _packets(self._encoder.push(frame))


def _packets(encoded: list[EncodedFrame]) -> tuple[Head, bytes]:
    heads = [packet_to(one.packet) | {"bytes": len(one.packet.data), "index": one.index} for one in encoded]
    return {"packets": heads}, b"".join(one.packet.data for one in encoded)
