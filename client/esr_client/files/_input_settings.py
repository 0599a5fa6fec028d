"""How an input is opened, and which part of it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from esr_client.files._destination import input_format


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """Settings to open an input, and the part of it to take."""

    format: str | None = None
    """FFmpeg's name of the container, or y4m, mkv or ts; None: it is found out."""
    size: tuple[int, int] | None = None
    """Width and height of rawvideo."""
    rate: Fraction | None = None
    """Frames per second of rawvideo, and of pictures in a numbered sequence."""
    pixel_format: str | None = None
    """Of rawvideo, by FFmpeg's name."""
    start_s: Fraction = Fraction(0)
    """Where to begin, after the input's own beginning."""
    duration_s: Fraction | None = None
    """How much to take; None: all. A live input may have no end."""
    open_timeout_s: float | None = 30.0
    read_timeout_s: float | None = 30.0
    """How long an input on the network may be silent. Pipes may be silent for as long as they like."""
    skip_undecodable: bool = False

    def __post_init__(self) -> None:
        if self.format is not None:
            input_format(self.format)
        if self.format == "rawvideo" and (self.size is None or self.pixel_format is None):
            raise ValueError(
                "rawvideo has no header: give its size and pixel format "
                "(esr-client: --input-size 1920x1080 --input-pixel-format yuv420p)"
            )
        if self.start_s < 0:
            raise ValueError(f"a start must be at 0 s or later, not at {float(self.start_s):g}")
        if self.duration_s is not None and self.duration_s <= 0:
            raise ValueError(f"a duration must be above 0 s, not {float(self.duration_s):g}")

    def options(self) -> dict[str, str]:
        """Return FFmpeg's options of the demuxer."""
        size = f"{self.size[0]}x{self.size[1]}" if self.size else None
        rate = str(self.rate) if self.rate else None
        values = {"video_size": size, "framerate": rate, "pixel_format": self.pixel_format}
        return {name: value for name, value in values.items() if value is not None}
