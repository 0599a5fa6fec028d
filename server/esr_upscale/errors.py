"""What can go wrong in the engine.

UpscaleError
├── InvalidInputError            the caller gave something that cannot be right
│   ├── FrameError                 a plane, stride or size that does not fit the format
│   ├── UnsupportedFormatError     a pixel format that is not in the table
│   ├── InterlacedError            fields where frames are needed
│   ├── CodecOptionError           a codec or an option that is not allowed
│   └── FormatChangeError          a change of size or format where the output cannot follow
├── LimitError                   larger than this server was configured for
├── UnknownModelError            no model of that name
├── WeightsError                 a weights file that does not fit its model
├── MediaDataError               damaged or truncated compressed data
└── EngineError                  the engine cannot run here (a device or library is missing)

Messages say what was wrong and what would be right. Nothing here knows of gRPC: `esr_server.rpc.errors` has the one
table from these classes to status codes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UpscaleError(Exception):
    """Base of everything the engine raises on purpose."""


class InvalidInputError(UpscaleError):
    """The caller gave something that cannot be right."""


class FrameError(InvalidInputError):
    """A plane, stride or size that does not fit the pixel format."""


class UnsupportedFormatError(InvalidInputError):
    """A pixel format that is not in the table."""


class InterlacedError(InvalidInputError):
    """An interlaced frame, and the config did not ask for a deinterlacer."""


class CodecOptionError(InvalidInputError):
    """A codec, or an option of a codec, that is not on the allow-list."""


class FormatChangeError(InvalidInputError):
    """The size or pixel format changed in mid-stream where the output cannot follow."""


class LimitError(UpscaleError):
    """Something is larger than the limits of this server allow."""


_SIMILARITY = 0.7  # of names that may be misspellings of each other


class UnknownModelError(UpscaleError):
    """No model has this name. `near` holds the closest known names, best first."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        self.name = name
        self.near = tuple(difflib.get_close_matches(name.lower(), names, n=3, cutoff=_SIMILARITY))
        # An alias says enough; the names with every hyper-parameter are sixty.
        aliases = [known_name for known_name in names if known_name.count("_") <= 2] or names
        hint = f"did you mean {', '.join(self.near)}?" if self.near else f"there are {', '.join(aliases)}"
        super().__init__(f"no model is named {name!r}; {hint}")


class WeightsError(UpscaleError):
    """A weights file lacks a tensor, has one too many, or has one of the wrong shape."""


class MediaDataError(UpscaleError):
    """Compressed data that the decoder could not read."""


class EngineError(UpscaleError):
    """The engine that was asked for cannot run on this machine."""
