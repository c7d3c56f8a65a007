"""Records as `--json` shows them: plain dicts whose keys are part of what is promised.

`flat` goes through the fields of a dataclass. What is shown otherwise than it is stored says so beside the class:

    JSON: ClassVar = ("law=law.name", "evidence", "**chosen")  the keys, in this order, where fields are not enough
    field(metadata={"key": "told"})                            another key than the field's name
    field(metadata={"names": DIMENSIONS})                      a tuple as a table with these keys
    field(metadata={"each": ("class", "probability")})         so each item of a tuple; names may have names
    field(metadata=TABLE)                                      a network as its TOML file has it
    field(metadata={"none": {}})                               what stands for None

An entry of `JSON` is an attribute (a property, or a field of a field), KEY=ATTRIBUTE, or **ATTRIBUTE, whose own keys
are put in its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from convscale.schema import to_table

TABLE = {"table": True}

Names = tuple[str, ...] | Mapping[str, Any]


class AsDict:
    """What a public record has: `as_dict`."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """The record as `--json` shows it."""
        return flat(self)


def flat(record: Any) -> dict[str, Any]:
    """A dataclass, or a dict of them, as a plain dict of strings, numbers, lists and dicts, for JSON."""
    if isinstance(record, Mapping):
        return {str(key): _plain(item) for key, item in record.items()}
    table: dict[str, Any] = {}
    for key, path, hints in _entries(record.__class__):
        value = attrgetter(path)(record)
        if key:
            table[key] = _shown(value, hints)
        elif value is not None:
            table |= flat(value)
    return table


@cache
def _entries(kind: Any) -> tuple[tuple[str, str, Mapping[str, Any]], ...]:
    """The key, the attribute and the field's hints of each entry; no key where its own keys take its place."""
    fields = {field.name: field.metadata for field in dataclasses.fields(kind)}
    return tuple(_entry(text, fields) for text in getattr(kind, "JSON", fields))


def _entry(text: str, fields: Mapping[str, Mapping[str, Any]]) -> tuple[str, str, Mapping[str, Any]]:
    if text.startswith("**"):
        return "", text[2:], {}
    key, _, path = text.rpartition("=")
    hints = fields.get(path, {})
    return key or hints.get("key", path), path, hints


def _shown(value: Any, hints: Mapping[str, Any]) -> Any:
    if value is None:
        return hints.get("none")
    if "table" in hints:
        return to_table(value)
    if "each" in hints:
        return [_named(item, hints["each"]) for item in value]
    return _named(value, hints["names"]) if "names" in hints else _plain(value)


def _named(values: tuple[Any, ...], names: Names) -> dict[str, Any]:
    return dict(_pairs(values, names))


def _pairs(values: tuple[Any, ...], names: Names) -> Iterator[tuple[str, Any]]:
    for name, value in zip(names, values, strict=True):
        inner = names[name] if isinstance(names, Mapping) else ()
        yield name, _named(value, inner) if inner else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) or dataclasses.is_dataclass(value):
        return flat(value)
    return str(value) if isinstance(value, Path) else value
