"""How much coding has damaged a source, as far as its pictures tell."""

from __future__ import annotations

from esr_upscale.frame import Frame


class QualityTracker:
    """Follows the quality of one stream's source. Not thread-safe: frames come in order."""

    def __init__(self, given: float | None = None) -> None:
        """Follow a source whose quantiser is `given`; None: that is to be estimated."""
        self._given = given

    def quantizer_of(self, frame: Frame) -> float | None:
        """Return the quantiser of H.264 that would have damaged the frame as much; None where nothing can be said."""
        del frame
        return self._given
