"""The C library's allocator, set for training: it keeps freed memory instead of giving it back to the system."""

from __future__ import annotations

import ctypes
import platform

# malloc.h of the GNU C library; mallopt(3) says what they do.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_memory() -> bool:
    """Let the process keep the memory of freed tensors for the next ones, and say whether the system can.

    The GNU C library maps every large tensor anew and unmaps it when it is freed, so that each training step
    takes a page fault for every 4 KiB of activations. After this call it reuses them; the process holds on to
    the most that it ever needed. Call it before tensors are made. Calling it again changes nothing; elsewhere
    (macOS, Windows, musl) it does nothing and returns False.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    never_map, never_trim = mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1)
    return bool(never_map and never_trim)
