"""Optuna's storage, which is tried again while it is away.

What is kept there is an index for dashboards and tools. The truth is elsewhere: in a study's records, in what a search
returned.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from convscale.errors import ConfigError, MissingExtraError, RunError

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

SECONDS_OF_RETRIES = 10.0


def import_optuna(purpose: str) -> Any:
    """Optuna, which says nothing but warnings. Raises MissingExtraError naming the `purpose` that needs it."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "study", purpose) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_storage(storage: str | optuna.storages.BaseStorage) -> optuna.storages.BaseStorage:
    """The storage at an address, or itself. Raises ConfigError where the address is none."""
    import optuna
    from sqlalchemy.exc import ArgumentError

    try:
        return optuna.storages.get_storage(storage)
    except (ValueError, ImportError, ArgumentError) as error:
        raise ConfigError(f"storage {storage!r} cannot be used: {error}", hint="sqlite:///FILE, say") from None


def retried(action: Callable[[], T], where: str, hint: str) -> T:
    """What `action` on the storage called `where` returns; done again, for ten seconds, while the storage is away.

    Raises RunError with `hint` where it stays away, and whatever is not the storage's fault at once.
    """
    deadline, pause = time.monotonic() + SECONDS_OF_RETRIES, 0.1
    while True:
        try:
            return action()
        except Exception as error:
            if not _is_the_storages(error):
                raise
            if time.monotonic() + pause > deadline:
                reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
                raise RunError(f"{where}: the store does not answer ({reason})", hint=hint) from error
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _is_the_storages(error: Exception) -> bool:
    """Whether the storage, not we, is at fault."""
    kind = type(error)
    foreign = kind.__module__.split(".")[0] in ("sqlalchemy", "redis") or "Storage" in kind.__name__
    return isinstance(error, OSError | sqlite3.Error) or foreign
