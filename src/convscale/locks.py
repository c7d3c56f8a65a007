"""Locks: files that one process holds at a time. A lock ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_TAKEN = (errno.EACCES, errno.EAGAIN)


class LockedError(Exception):
    """Another process holds the lock; `owner` is its number, "?" where that is not known."""

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.owner = owner


def lock(path: Path) -> int | None:
    """Hold the lock `path` until the descriptor that is returned is closed.

    None where there are no locks to hold: on Windows, on some network file systems. Raises LockedError.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(file, 64, 0).decode(errors="replace").strip()
        os.close(file)
        if error.errno in _TAKEN:
            raise LockedError(owner or "?") from None
        return None
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)
    return file


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock `path`, which is asked by taking it for a moment. Do not ask for one that
    this process holds: asking lets go of it."""
    try:
        import fcntl

        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return error.errno in _TAKEN
    except ImportError:
        return False
