"""What is known of a stream's source, followed along its frames, for weights that are for such sources.

A decoder's key frames say how much coding has damaged it, if the client does not. Key frames do not depend on what
moves, and where they come nothing flickers.
"""

from __future__ import annotations

from esr_media.formats import ColorModel
from esr_upscale.frame import Frame
from esr_upscale.models import Source
from esr_upscale.source_downscaler import DownscalerTracker
from esr_upscale.source_quality import LUMA_SHARE, estimate

LEAST_APART = 8
"""Frames between two measurements: where every frame is a key frame, not all are measured."""
UNMARKED_APART = 24
"""Frames between two measurements of a stream without key frames, which no decoder made."""
STEADY, FOLLOWED, JUMP = 1.5, 0.5, 10.0
"""At a key frame the estimate stands for changes up to STEADY, or weights would alternate more often where a source
lies between two nodes. It follows a part of larger ones, and all of those past JUMP: another source has come."""


class SourceTracker:
    """Follows one stream's source. Not thread-safe: frames come in order."""

    def __init__(self, known_quantizer: float | None = None) -> None:
        """Follow a source of `known_quantizer`; None: it is estimated where a decoder gives key frames."""
        self._known_quantizer = known_quantizer
        self._quantizer = known_quantizer
        self._downscaler = DownscalerTracker()
        self._now: Source | None = None
        self._since = UNMARKED_APART
        self._is_marked = False
        """Whether a decoder gave key frames: then other frames are not looked at."""
        self._size = (0, 0)

    def source_of(self, frame: Frame) -> Source | None:
        """Return what is known of a frame's source; None where nothing is. Frames come in the order of a stream."""
        is_due = self.is_due(frame)
        self._since += 1
        self._is_marked |= frame.key is not None
        if is_due:
            self._since = 0
            self._measure(frame)
        return self._now

    def is_due(self, frame: Frame) -> bool:
        """Return whether `source_of` will look at all of the next frame's pixels, which takes milliseconds."""
        since = self._since + 1
        if frame.key is not None:
            return since >= LEAST_APART
        return self._known_quantizer is not None and not self._is_marked and since >= UNMARKED_APART

    def _measure(self, frame: Frame) -> None:
        # Green is most of luma, and taking RGB apart would cost more than the estimate.
        luma = frame.planes[0][:, 1::3] if frame.format.model is ColorModel.RGB else frame.planes[0]
        depth = frame.format.depth + frame.format.lsb
        if (size := (frame.width, frame.height)) != self._size:
            self._size, self._downscaler = size, DownscalerTracker()
        if self._known_quantizer is None and frame.key is not None:
            self._follow(estimate(luma, depth, frame.key.codec, LUMA_SHARE * frame.key.bits))
        if self._quantizer is None:
            self._now = None
            return
        self._now = Source(self._quantizer, self._downscaler.take(luma, depth, self._quantizer))

    def _follow(self, estimated: float | None) -> None:
        current = self._quantizer
        if estimated is None or current is None:
            self._quantizer = estimated
        elif abs(estimated - current) > JUMP:
            self._quantizer, self._downscaler = estimated, DownscalerTracker()
        elif abs(estimated - current) > STEADY:
            self._quantizer = current + FOLLOWED * (estimated - current)
