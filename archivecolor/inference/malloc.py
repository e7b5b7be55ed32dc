"""glibc's allocator, asked to keep what a run is about to need again.

By default every block of some size comes fresh from the system and goes back at once, and each of its pages is faulted
in and cleared anew: a network's layers and a photograph's strips are such blocks, dozens for each picture. Kept in the
heap they cost nothing the second time.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
KEPT = 256 * 2**20
"""Free bytes at a heap's end that are kept. The main heap's; a thread's heap has 64 MB in all, and keeps what it has
had: at most so much more for each worker."""
LARGEST = 32 * 2**20
"""Blocks up to this size come from a heap: the most that glibc allows, and enough for every layer at 256 pixels."""


def keep_freed_memory() -> bool:
    """From now on, in this process; whether the allocator understood. Others than glibc's are left alone."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))
