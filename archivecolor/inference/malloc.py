"""Tells glibc's allocator to keep freed memory that a run will soon need again.

By default every large block comes fresh from the system and goes back when it is freed. Each of its pages is then
faulted in and cleared again. A network's layers and a photograph's strips are such blocks, dozens for each picture.
Kept in the heap, they cost nothing the second time.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""From glibc's malloc.h."""
KEPT = 256 * 2**20
"""Free bytes kept at the end of the main heap. A thread's heap has 64 MB in all and keeps what it has used: at most
that much more for each worker."""
LARGEST = 32 * 2**20
"""Blocks up to this size come from a heap. It is the most that glibc allows, and enough for every layer at 256
pixels."""


def keep_freed_memory() -> bool:
    """Applies to this process from now on. Returns whether the allocator accepted it; only glibc's is changed."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))
