"""Codecs in processes of their own: what crashes, hangs or takes all memory ends one stream.

A codec has a process, a connection to it, and an anonymous file (memfd) in which frames lie that go there or come from
there. Linux only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_media.limits import INT64_MAX
from esr_media.packet import Packet
from esr_media.slots import PLANE_ALIGNMENT, align_up
from esr_server.codecs.channel import Head
from esr_server.codecs.frame_slots import FrameSlots
from esr_server.codecs.messages import (
    decoder_to,
    encoder_to,
    frame_from,
    frame_to,
    packet_from,
    packet_to,
)
from esr_server.codecs.processes import DECODER, ENCODER, CodecProcess, ForkServer, end_process
from esr_server.errors import CodecProcessError, ConfigError
from esr_upscale.errors import LimitError
from esr_upscale.frame import Frame
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import EncodedFrame, EncoderSettings

_SLOTS = 8
"""Decoded frames that may lie in shared memory. Those of a packet are upscaled one after the other, and let go then."""
_MOST_FRAMES = 1024
"""Frames that one packet, or the end of a stream, can give."""
_FLUSH_FACTOR = 3
"""An encoder that flushes codes the pictures of its whole lookahead."""


def _count(value: object, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"a count must be from 0 to {most}")
    return value


class IsolatedDecoder:
    """A decoder, and its deinterlacer, in a process of its own. A DecodeStage."""

    def __init__(
        self, forkserver: ForkServer, settings: DecoderSettings, deinterlace: str, slot_bytes: int, timeout_s: float
    ) -> None:
        self._slots = FrameSlots(_SLOTS, slot_bytes)
        head = {"decoder": decoder_to(settings, deinterlace), "slot_bytes": self._slots.slot_bytes}
        self._process = CodecProcess(forkserver, self._slots, DECODER, timeout_s, head)
        self._max_pixels = settings.max_pixels
        self._skipped = 0

    @property
    def packets_skipped(self) -> int:
        return self._skipped

    def push(self, packet: Packet) -> Iterator[Frame]:
        yield from self._frames({"do": "push", "packet": packet_to(packet)}, packet.data)

    def flush(self) -> Iterator[Frame]:
        yield from self._frames({"do": "flush"}, b"")

    def interrupt(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.close()

    def _frames(self, head: Head, data: bytes) -> Iterator[Frame]:
        is_last, count = False, 0
        while not is_last:
            slot = self._slots.take()
            try:
                answer, _ = self._process.ask(head | {"slot": slot}, data)
            except BaseException:
                self._slots.free(slot)
                raise
            try:
                self._skipped, is_last = _count(answer["skipped"], INT64_MAX), bool(answer["last"])
                frame = self._frame(answer["frame"], slot) if "frame" in answer else None
                count += 1
                if count > _MOST_FRAMES or (frame is None and not is_last):
                    raise ValueError("more frames than a packet can have, or none")
            except Exception as error:  # of any kind: the answer may be anything
                raise self._process.fault(error) from error
            if frame is None:
                self._slots.free(slot)
            else:
                yield frame
            head, data = {"do": "next"}, b""

    def _frame(self, head: Head, slot: int) -> Frame:
        memory, is_last_slot = self._slots.view(slot)
        frame = frame_from(head, memory.toreadonly())
        if frame.width * frame.height > self._max_pixels:
            raise ValueError(f"a frame of {frame.width}x{frame.height}")
        if is_last_slot:
            frame = replace(frame, planes=tuple(plane.copy() for plane in frame.planes))
            self._slots.free(slot)
        return frame


class IsolatedEncoder:
    """An encoder in a process of its own. An EncodeStage."""

    def __init__(self, forkserver: ForkServer, settings: EncoderSettings, frame_bytes: int, timeout_s: float) -> None:
        # One frame that was made there, and a copy of each plane of one that was not.
        self._memory = FrameSlots(1, 2 * frame_bytes)
        view, _ = self._memory.view(self._memory.take())
        self._samples = np.frombuffer(view, np.uint8)
        self._end = self._pushed = 0
        self._process = CodecProcess(forkserver, self._memory, ENCODER, timeout_s, {"encoder": encoder_to(settings)})

    def push(self, frame: Frame) -> list[EncodedFrame]:
        places = [self._place(plane) for plane in frame.planes]
        self._end = 0
        self._pushed += 1
        return self._packets({"do": "push", "frame": frame_to(frame, places)})

    def allocate(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Return memory for a plane of the next frame, from which it need not be copied; None if it is used up."""
        start = align_up(self._end, PLANE_ALIGNMENT)
        end = start + shape[0] * shape[1] * dtype.itemsize
        if end > self._samples.size:
            return None
        self._end = end
        return self._samples[start:end].view(dtype).reshape(shape)

    def _place(self, plane: NDArray[Any]) -> tuple[int, int]:
        offset = plane.__array_interface__["data"][0] - self._samples.__array_interface__["data"][0]
        if 0 <= offset < self._samples.size:
            return offset, plane.strides[0]
        copy = self.allocate(plane.shape, plane.dtype)
        if copy is None:
            raise LimitError(f"a plane of {plane.shape} is larger than what this server encodes")
        np.copyto(copy, plane)
        return self._place(copy)

    def flush(self) -> list[EncodedFrame]:
        return self._packets({"do": "flush"}, timeout_factor=_FLUSH_FACTOR)

    def interrupt(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.close()
        self._samples = self._samples[:0].copy()

    def _packets(self, head: Head, timeout_factor: int = 1) -> list[EncodedFrame]:
        answer, payload = self._process.ask(head, timeout_factor=timeout_factor)
        try:
            encoded, start = [], 0
            for packet in answer["packets"]:
                end = start + _count(packet["bytes"], len(payload) - start)
                index = _count(packet["index"], self._pushed - 1)
                encoded.append(EncodedFrame(packet_from(packet, payload[start:end]), index))
                start = end
            return encoded
        except Exception as error:  # of any kind: the answer may be anything
            raise self._process.fault(error) from error


class IsolatedCodecs:
    """Codecs in processes of their own."""

    def __init__(self, input_bytes: int, output_bytes: int, timeout_s: float) -> None:
        """Keep the limits: frames have at most `input_bytes` and `output_bytes`, an answer `timeout_s` seconds."""
        self._input_bytes, self._output_bytes, self._timeout_s = input_bytes, output_bytes, timeout_s
        self._forkserver = ForkServer(timeout_s)

    def start(self) -> None:
        """Start the process, and try whether this system has what codecs in processes need.

        Raises:
            ConfigError: it has not.
        """
        try:
            memory = FrameSlots(1, 1)
            connection, pidfd = self._forkserver.spawn(memory.file)
            connection.close()
            memory.close()
            end_process(pidfd)
        except (OSError, AttributeError, CodecProcessError) as error:
            raise ConfigError(
                f"codecs cannot have processes of their own here ({error}); choose --codec-isolation none"
            ) from error

    def decoder(self, settings: DecoderSettings, deinterlace: str) -> IsolatedDecoder:
        return IsolatedDecoder(self._forkserver, settings, deinterlace, self._input_bytes, self._timeout_s)

    def encoder(self, settings: EncoderSettings) -> IsolatedEncoder:
        return IsolatedEncoder(self._forkserver, settings, self._output_bytes, self._timeout_s)

    def close(self) -> None:
        self._forkserver.close()
