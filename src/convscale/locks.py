"""Locks: files that one process holds at a time. A lock ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_TAKEN = (errno.EACCES, errno.EAGAIN)
_ours: set[int] = set()  # descriptors of locks that this process held; some are closed by now


class LockedError(Exception):
    """Another process holds the lock; `owner` is its process id, "?" where that is not known."""

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
    _ours.add(file)
    return file


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock `path`; asking needs no write permission. False where there are no
    locks, since it cannot be known."""
    try:
        import fcntl

        if _is_ours(path):
            return True  # opening it and closing it again would let go of it
        file = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return error.errno in _TAKEN
    finally:
        os.close(file)


def _is_ours(path: Path) -> bool:
    wanted = path.stat()
    for descriptor in tuple(_ours):
        try:
            if os.path.samestat(os.fstat(descriptor), wanted):
                return True
        except OSError:  # closed
            _ours.discard(descriptor)
    return False
