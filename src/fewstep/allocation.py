"""Memory that is kept for the next task instead of being handed back to the system and asked for again.

glibc returns large blocks as soon as they are freed, and every page of a fresh one faults on its first use: on Conv4
with 75 queries a fifth of the time of a task.
"""

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of `mallopt`, as malloc.h numbers them."""
SETTINGS = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 << 20}
"""Bytes. The first is the largest that glibc takes; the last a heap's own size, so that no heap of a thread goes."""


@cache
def keep_freed_memory() -> bool:
    """Let the allocator of this process keep what is freed, for good; whether it can be told to.

    The most memory that the process holds at once stays about the same; it holds on to it until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or getattr(ctypes.CDLL(None), "gnu_get_libc_version", None) is None:  # musl has no such thing
        return False
    taken = [mallopt(parameter, size) == 1 for parameter, size in SETTINGS.items()]
    return all(taken)
