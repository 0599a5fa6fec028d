"""A temporary file next to the output: locked while it is written, renamed into place when it is complete."""

from __future__ import annotations

import glob
import os
import secrets
import sys
import time
from pathlib import Path

if sys.platform != "win32":
    import fcntl


class PartFile:
    """The hidden file that an output is written to.

    Its process holds a lock on it. A later run removes files that no process holds a lock on.
    """

    def __init__(self, target: Path) -> None:
        """Remove leftovers of killed runs for the same target, then create and lock the file.

        Raises:
            OSError: the folder cannot be written.
        """
        # Next to the target of a symbolic link: renaming must not cross file systems.
        self.target = target = target.resolve()
        remove_stale(target)
        self.path = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.part{target.suffix}")
        self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if sys.platform != "win32":
            fcntl.flock(self._fd, fcntl.LOCK_EX)

    def commit(self) -> None:
        """Give the file its name. If that is a symbolic link, it stays one and its target is replaced.

        Raises:
            OSError: it cannot be renamed.
        """
        os.fsync(self._fd)
        self.path.replace(self.target)
        self.close()

    def close(self) -> None:
        """Remove the file unless it was committed, and release the lock. Closing twice does no harm."""
        self.path.unlink(missing_ok=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def remove_stale(target: Path) -> None:
    """Remove hidden files that killed runs left for this target.

    A file that another process holds a lock on, or that was made within the last second, is not stale. On Windows,
    which has no such locks, nothing is removed.
    """
    if sys.platform == "win32":
        return
    for path in target.parent.glob(f".{glob.escape(target.stem)}.*.part{glob.escape(target.suffix)}"):
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue  # its run has just ended
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(fd).st_mtime > 1:
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue  # its run goes on
        finally:
            os.close(fd)
