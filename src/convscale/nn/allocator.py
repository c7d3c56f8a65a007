"""The C library's allocator, set for training: it keeps freed memory instead of giving it back to the system."""

from __future__ import annotations

import ctypes
import gc
import platform

# malloc.h of the GNU C library; mallopt(3) says what they do.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
DEFAULT_TRIM_THRESHOLD = 128 * 1024
DEFAULT_MMAP_MAX = 65_536


def keep_memory() -> bool:
    """Let the process keep the memory of freed tensors for the next ones, and say whether the system can.

    The GNU C library maps every large tensor afresh and unmaps it when it is freed, so that each training step
    takes a page fault for every 4 KiB of activations. After this call it reuses them; the process holds on to
    the most that it ever needed. Call it before tensors are made. Calling it again changes nothing; elsewhere
    (macOS, Windows, musl) it does nothing and returns False.
    """
    library = _c_library()
    return library is not None and bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, -1))


def release_memory() -> None:
    """Give what is kept back to the system and keep nothing from now on: for when memory ran out, since what was
    kept in pieces may not serve for larger tensors."""
    gc.collect()
    library = _c_library()
    if library is not None:
        library.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
        library.mallopt(M_TRIM_THRESHOLD, DEFAULT_TRIM_THRESHOLD)
        library.malloc_trim(0)


def _c_library() -> ctypes.CDLL | None:
    """The GNU C library, None where the system has another."""
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError, TypeError):
        return None
