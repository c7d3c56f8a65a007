"""Nested values of a checkpoint, as a flat list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convscale.dialects.pickles import without_attributes
from convscale.errors import RunError

Path = tuple[str, ...]  # keys and places, from the outermost inwards
Nested = dict[Path, Any]

_DEPTH = 8
_MOST = 100_000  # a file that refers to itself could hold any number


def flat(found: Any, where: str) -> Nested:
    """Every mapping, list and tuple in `found` by its path, in the order of the file.

    Raises RunError for more than can be of use.
    """
    nested: Nested = {}
    coming: list[tuple[Path, Any]] = [((), found)]
    while coming:
        path, value = coming.pop()
        nested[path] = value = without_attributes(value)
        if len(nested) > _MOST:
            raise RunError(f"{where}: more than {_MOST:,} nested values: refused")
        if len(path) < _DEPTH:
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            inner = [((*path, str(key)), item) for key, item in items if isinstance(item, Mapping | list | tuple)]
            coming += reversed(inner)
    return nested
