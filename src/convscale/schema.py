"""Frozen dataclasses to plain tables and back, strictly.

`from_table` refuses unknown keys (with the nearest known one), wrong types and non-finite numbers, and says
where: `stages[2].rows[0].kernel`. `to_table` leaves out fields that hold their default, so a file shows only
what was decided. A union of dataclasses is told apart by the key `type`, each class naming its `TYPE`; a field
marked `flatten` is written into its owner's own table.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from convscale.errors import ConfigError, suggestion

T = TypeVar("T")

TAG = "type"
FLATTEN = {"flatten": True}


def to_table(value: Any) -> Any:
    """A dataclass as nested dicts and lists of strings, numbers and booleans; defaults are left out."""
    if isinstance(value, tuple):
        return [to_table(item) for item in value]
    if isinstance(value, dict):
        return {key: to_table(item) for key, item in value.items()}
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)  # 4.0 and 4 are one number and look alike: reading gives a float field its float
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    table: dict[str, Any] = {}
    tag = getattr(value, "TYPE", None)
    if tag is not None:
        table[TAG] = tag
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if item is None or (_has_default(field) and item == _default(field)):
            continue
        if field.metadata.get("flatten"):
            table.update(to_table(item))
        else:
            table[field.name] = to_table(item)
    return table


def from_table(kind: type[T], table: Any, where: str = "") -> T:
    """Build the dataclass `kind` from a table. Raises ConfigError naming the key that is wrong."""
    return typing.cast(T, _read(kind, table, where))


def _read(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        allowed = typing.get_args(kind)
        if value not in allowed or isinstance(value, bool):
            hint = suggestion(str(value), map(str, allowed))
            raise ConfigError(f"{where or 'value'}: {value!r} is not allowed", hint=hint)
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(kind):
            return None
        return _read_union([arm for arm in typing.get_args(kind) if arm is not type(None)], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mismatch(where, "a list", value)
        item_kind = typing.get_args(kind)[0]
        return tuple(_read(item_kind, item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _mismatch(where, "a table", value)
        item_kind = typing.get_args(kind)[1]
        return {str(key): _read(item_kind, item, _at(where, str(key))) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    return _read_scalar(kind, value, where)


def _read_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) in (int, float):
        if not -sys.float_info.max <= value <= sys.float_info.max:
            raise ConfigError(f"{where}: {value!s:.40} is not a finite number")
        return float(value)
    if type(value) is not kind:
        words = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
        raise _mismatch(where, words[kind], value)
    return value


def _read_union(arms: list[Any], value: Any, where: str) -> Any:
    if str in arms:
        if isinstance(value, str):
            return value
        arms = [arm for arm in arms if arm is not str]
    if len(arms) == 1:
        return _read(arms[0], value, where)
    if not any(map(dataclasses.is_dataclass, arms)):
        return _read_scalar(next((arm for arm in arms if type(value) is arm), arms[0]), value, where)
    known = {arm.TYPE: arm for arm in arms}
    if not isinstance(value, Mapping) or TAG not in value:
        raise ConfigError(f"{where}: needs a key '{TAG}'", hint=f"allowed: {', '.join(known)}")
    tag = value[TAG]
    if not isinstance(tag, str) or tag not in known:
        raise ConfigError(f"{where}.{TAG}: unknown {tag!r}", hint=suggestion(str(tag), known))
    return _read_dataclass(known[tag], value, where)


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _mismatch(where, "a table", value)
    left = {key: item for key, item in value.items() if key != TAG or not hasattr(kind, "TYPE")}
    if hasattr(kind, "TYPE") and value.get(TAG, kind.TYPE) != kind.TYPE:
        raise ConfigError(f"{_at(where, TAG)}: {value[TAG]!r} is not {kind.TYPE!r}")
    hints, fields = _fields(kind)
    arguments: dict[str, Any] = {}
    flat = next((field for field in fields if field.metadata.get("flatten")), None)
    names = [field.name for field in fields]
    unknown = [str(key) for key in left if key not in names]
    if unknown and flat is None:
        allowed = f"'{kind.TYPE}' takes no keys" if not names else suggestion(unknown[0], names)
        raise ConfigError(f"{_at(where, unknown[0])}: unknown key", hint=allowed or f"allowed: {', '.join(names)}")
    for field in fields:
        if field is flat:
            continue
        if field.name in left:
            arguments[field.name] = _read(hints[field.name], left.pop(field.name), _at(where, field.name))
        elif type(None) in typing.get_args(hints[field.name]):
            if not _has_default(field):
                arguments[field.name] = None  # which is never written
        elif not _has_default(field):
            raise ConfigError(f"{_at(where, field.name)}: missing", hint="add it")
    if flat is not None:
        tag = {TAG: value[TAG]} if TAG in value else {}
        arguments[flat.name] = _read(hints[flat.name], tag | left, where)
    try:
        return kind(**arguments)
    except ConfigError as error:
        message = f"{where}: {error.message}" if where else error.message
        raise ConfigError(message, hint=error.hint) from None


@cache
def _fields(kind: Any) -> tuple[dict[str, Any], tuple[dataclasses.Field[Any], ...]]:
    return typing.get_type_hints(kind), dataclasses.fields(kind)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _mismatch(where: str, want: str, got: Any) -> ConfigError:
    return ConfigError(f"{where or 'value'}: expected {want}, got {got!r:.80}")
