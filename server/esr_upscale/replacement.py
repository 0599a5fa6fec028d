"""Files that are written whole or not at all: a process that is killed leaves the old one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esr_upscale.errors import InvalidInputError


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, with the suffix of `path`; what lies there replaces `path` when the block ends.

    Folders are made. Where the block raises, `path` stays as it was. Through a link, the file that it leads to is
    replaced. A device or a pipe cannot be replaced, so it is written to directly.

    Raises:
        InvalidInputError: `path` cannot be written.
    """
    try:
        if is_special(path):
            yield path
            return
        whole = Path(os.path.realpath(path))
        whole.parent.mkdir(parents=True, exist_ok=True)
        part = whole.with_name(f".{whole.stem}.{os.getpid()}.part{whole.suffix}")
        try:
            yield part
            os.replace(part, whole)
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError as error:
        raise InvalidInputError(f"{path} cannot be written: {path.parent} is a file, not a directory") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Replace `path` by a file with this text, as `replace_file` does."""
    with replace_file(path) as part:
        part.write_text(text, encoding="utf-8")


def is_special(path: Path) -> bool:
    """Return whether `path` is a device, a pipe or a link to one, such as /dev/stdout, and not a file."""
    return path.parts[:2] == ("/", "dev") or (path.exists() and not path.is_file() and not path.is_dir())
