"""What the stages of a stream need of codecs, and codecs in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esr_media.packet import Packet
from esr_upscale.frame import Frame
from esr_upscale.media.decode import Decoder, DecoderSettings
from esr_upscale.media.deinterlace import deinterlacer
from esr_upscale.media.encode import EncodedFrame, Encoder, EncoderSettings


class DecodeStage(Protocol):
    """Packets in, progressive frames out, in order of presentation. One thread drives it at a time."""

    @property
    def packets_skipped(self) -> int:
        """Return how many packets could not be decoded and were passed over."""
        ...

    def push(self, packet: Packet) -> Iterator[Frame]:
        """Decode one packet, as the result is iterated, and give the frames that are ready."""
        ...

    def flush(self) -> Iterator[Frame]:
        """Give the frames that are left."""
        ...

    def interrupt(self) -> None:
        """Stop a call of another thread as soon as possible. The stage is of no use afterwards."""
        ...

    def close(self) -> None:
        """Release the codec and its threads."""
        ...


class EncodeStage(Protocol):
    """Frames in, packets out, in order of decoding. One thread drives it at a time."""

    def allocate(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Return memory in which a plane of the next frame is best made; None for any other. A PlaneAllocator."""
        ...

    def push(self, frame: Frame) -> list[EncodedFrame]:
        """Encode one frame and give the packets that are ready."""
        ...

    def flush(self) -> list[EncodedFrame]:
        """Give the packets that are left."""
        ...

    def interrupt(self) -> None:
        """Stop a call of another thread as soon as possible. The stage is of no use afterwards."""
        ...

    def close(self) -> None:
        """Release the codec and its threads."""
        ...


class Codecs(Protocol):
    """Opens the codecs of streams. Safe to use from any thread."""

    def start(self) -> None:
        """Start what opens them, so that the first stream does not wait for it."""
        ...

    def decoder(self, settings: DecoderSettings, deinterlace: str) -> DecodeStage:
        """Open a decoder whose frames go through the deinterlacer of that name.

        Raises:
            CodecOptionError: the codec or the deinterlacer is not on the allow-list.
            LimitError: the extradata is too large.
            MediaDataError: the decoder does not open with this extradata.
        """
        ...

    def encoder(self, settings: EncoderSettings) -> EncodeStage:
        """Open an encoder.

        Raises:
            CodecOptionError: the encoder, an option's name or its value is not on the allow-list.
        """
        ...

    def close(self) -> None:
        """End what opens the codecs. Those that are open end with their streams."""
        ...


class DeinterlacingDecoder:
    """A decoder in this process, and what is done with interlaced frames."""

    def __init__(self, settings: DecoderSettings, deinterlace: str) -> None:
        self._deinterlacer = deinterlacer(deinterlace)
        self._decoder = Decoder(settings)

    @property
    def packets_skipped(self) -> int:
        return self._decoder.packets_skipped

    def push(self, packet: Packet) -> Iterator[Frame]:
        for frame in self._decoder.push(packet):
            yield from self._deinterlacer.push(frame)

    def flush(self) -> Iterator[Frame]:
        for frame in self._decoder.flush():
            yield from self._deinterlacer.push(frame)
        yield from self._deinterlacer.flush()

    def interrupt(self) -> None:
        """Do nothing: no call of FFmpeg can be stopped from outside."""

    def close(self) -> None:
        self._decoder.close()


class InProcessEncoder(Encoder):
    """An encoder in this process."""

    def allocate(self, _shape: tuple[int, int], _dtype: np.dtype[Any]) -> None:
        """Leave it to the kernels: each plane is copied into FFmpeg's memory."""

    def interrupt(self) -> None:
        """Do nothing: no call of FFmpeg can be stopped from outside."""


class InProcessCodecs:
    """Codecs in this process: the least work for each frame, and a codec that crashes takes every stream along."""

    def start(self) -> None: ...

    def decoder(self, settings: DecoderSettings, deinterlace: str) -> DecodeStage:
        return DeinterlacingDecoder(settings, deinterlace)

    def encoder(self, settings: EncoderSettings) -> EncodeStage:
        return InProcessEncoder(settings)

    def close(self) -> None: ...
