"""The heap of the C library: pages that messages lay in are kept for the next ones, and given back when no stream runs.

By itself glibc gives every freed block of some megabytes back to the kernel at once, and the next frame pays for new
pages: of the time that an inline 540p frame took in server and client together, half was that.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_KEPT = 32 * 1024 * 1024  # bytes of one block; glibc takes no more
_MOST_KEPT = 256 * 1024 * 1024  # free bytes at the end of a heap


def keep_freed_pages() -> None:
    """From now on, hold on to what is freed. Where the C library is not glibc, nothing changes."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        libc.mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


def give_back() -> None:
    """Give free pages to the kernel: some 6 ms for 100 MB. Other threads go on; those that allocate may wait for it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
