"""Frozen dataclasses: checked where they are made, written as plain tables, and read back, strictly.

`check` holds a dataclass to its type hints and is called in `__post_init__`. `from_table` refuses unknown keys (with
the nearest known one), wrong types and non-finite numbers, and says where: `stages[2].rows[0].kernel`. `to_table`
leaves out fields that hold their default, so that a person's file shows only what was decided; `complete` tables, for
files that machines keep, name every value. None is never written: a field that may be None and is not there is None.

A union of dataclasses is known by the key `type`, each class naming its `TYPE`; a field marked `flatten` is written
into its owner's own table. Keys of dicts and paths are strings in tables.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from convscale.errors import ConfigError, InputError, suggestion
from convscale.units import shown

T = TypeVar("T")
Defaults = Mapping[str, Mapping[str, Any]]  # class name -> field -> value, as a table has it

TAG = "type"
FLATTEN = {"flatten": True}

_WORDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", Path: "a path"}


def check(owner: Any) -> None:
    """Hold a frozen dataclass to its type hints; call it first in its `__post_init__`.

    Members that are dataclasses have checked themselves. NumPy's numbers, whole numbers where any number may stand,
    and lists in place of tuples are stored as what the hint says. Raises ConfigError naming the field and what is
    allowed.
    """
    kind: Any = type(owner)
    for name, hint, right, fits in _checks(kind):
        value = getattr(owner, name)
        if type(value) not in right and not fits(value):
            object.__setattr__(owner, name, _PYTHON.read(hint, value, name))


def to_table(value: Any, *, complete: bool = False, nulls: bool = False) -> Any:
    """A dataclass as nested dicts and lists of strings, numbers and booleans; defaults are left out unless
    `complete`, None unless `nulls`, which JSON has and TOML has not."""
    if type(value) in (str, int, bool):
        return value
    if isinstance(value, tuple | list):
        return [to_table(item, complete=complete, nulls=nulls) for item in value]
    if isinstance(value, dict):
        return {str(key): to_table(item, complete=complete, nulls=nulls) for key, item in value.items()}
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)  # 4.0 and 4 are one number and look alike: reading gives a float field its float
    if isinstance(value, Path):
        return str(value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    table: dict[str, Any] = {}
    tag = getattr(value, "TYPE", None)
    if tag is not None:
        table[TAG] = tag
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if (item is None and not nulls) or (not complete and has_default(field) and item == default_of(field)):
            continue
        if field.metadata.get("flatten"):
            table.update(to_table(item, complete=complete, nulls=nulls))
        else:
            table[field.name] = to_table(item, complete=complete, nulls=nulls)
    return table


def from_table(kind: type[T], table: Any, source: str = "", *, defaults: Defaults | None = None) -> T:
    """Build the dataclass `kind` from a table. `source` names the file in messages; `defaults` are what missing fields
    mean, ahead of the dataclasses' own defaults. Raises ConfigError naming the key that is wrong, and what the
    dataclasses raise."""
    try:
        return typing.cast(T, _Reader(defaults=defaults or {}).read(kind, table, ""))
    except InputError as error:
        raise _at_error(error, source) from None


def has_default(field: dataclasses.Field[Any]) -> bool:
    """Whether a dataclass may be made without this field."""
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The value of a field that is not given; it must have a default."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@dataclasses.dataclass(frozen=True, slots=True)
class _Reader:
    """Reads values by their type hints: from tables, or as they come from Python, where a dataclass must be one."""

    tables: bool = True
    defaults: Defaults = dataclasses.field(default_factory=dict)

    def read(self, kind: Any, value: Any, where: str) -> Any:
        """`value` as `kind` says, or ConfigError naming `where`."""
        if kind in _WORDS:
            return _scalar(kind, value, where)
        origin, arms = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Literal:
            return _word(arms, value, where)
        if origin in (typing.Union, types.UnionType):
            return self._union(arms, value, where)
        if origin in (tuple, Sequence):
            return self._tuple(arms, value, where)
        if origin is dict:
            return self._dict(arms, value, where)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(kind, value, where)
        return value  # of any type

    def _union(self, arms: tuple[Any, ...], value: Any, where: str) -> Any:
        if value is None and type(None) in arms:
            return None
        left = [arm for arm in arms if arm is not type(None)]
        if len(left) == 1:
            return self.read(left[0], value, where)
        if type(value) in left and type(value) is not float:
            return value
        if self.tables and all(map(dataclasses.is_dataclass, left)):
            return self._tagged(left, value, where)
        for arm in left:
            try:
                return self.read(arm, value, where)
            except ConfigError:
                continue
        raise _mismatch(where, " or ".join(map(_expected, left)), value)

    def _tagged(self, arms: list[Any], value: Any, where: str) -> Any:
        known = {arm.TYPE: arm for arm in arms}
        if not isinstance(value, Mapping) or TAG not in value:
            raise _at_error(ConfigError(f"needs a key '{TAG}'", hint=f"allowed: {', '.join(known)}"), where)
        tag = value[TAG]
        if not isinstance(tag, str) or tag not in known:
            raise ConfigError(f"{_at(where, TAG)}: unknown {tag!r}", hint=suggestion(str(tag), known))
        return self._dataclass(known[tag], value, where)

    def _tuple(self, arms: tuple[Any, ...], value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple):
            raise _mismatch(where, "a list", value)
        if arms[-1] is Ellipsis or len(arms) == 1:
            arms = (arms[0],) * len(value)
        elif len(arms) != len(value):
            raise _mismatch(where, f"a list of {len(arms)}", value)
        return tuple(
            self.read(arm, item, f"{where}[{index}]") for index, (arm, item) in enumerate(zip(arms, value, strict=True))
        )

    def _dict(self, arms: tuple[Any, ...], value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise _mismatch(where, "a table", value)
        return {
            _key(arms[0], key, _at(where, str(key))): self.read(arms[1], item, _at(where, str(key)))
            for key, item in value.items()
        }

    def _dataclass(self, kind: Any, value: Any, where: str) -> Any:
        if isinstance(value, kind):
            return value
        if not self.tables or not isinstance(value, Mapping):
            raise _mismatch(where, "a table" if self.tables else kind.__name__, value)
        left = {key: item for key, item in value.items() if key != TAG or not hasattr(kind, "TYPE")}
        if hasattr(kind, "TYPE") and value.get(TAG, kind.TYPE) != kind.TYPE:
            raise ConfigError(f"{_at(where, TAG)}: {value[TAG]!r} is not {kind.TYPE!r}")
        hints, fields = _fields(kind)
        flat = next((field for field in fields if field.metadata.get("flatten")), None)
        if flat is None:
            _require_known(left, kind, [field.name for field in fields], where)
        known, arguments = self.defaults.get(kind.__name__, {}), {}
        for field in fields:
            if field is flat:
                continue
            if field.name in left or field.name in known:
                item = left.pop(field.name) if field.name in left else known[field.name]
                arguments[field.name] = self.read(hints[field.name], item, _at(where, field.name))
            elif type(None) in typing.get_args(hints[field.name]) and not has_default(field):
                arguments[field.name] = None
            elif not has_default(field):
                raise ConfigError(f"{_at(where, field.name)}: missing", hint="add it")
        if flat is not None:
            tag = {TAG: value[TAG]} if TAG in value else {}
            arguments[flat.name] = self.read(hints[flat.name], tag | left, where)
        try:
            return kind(**arguments)
        except InputError as error:
            raise _at_error(error, where) from None


_PYTHON = _Reader(tables=False)


def _word(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if any(type(value) is type(word) and value == word for word in allowed):
        return value
    hint = suggestion(str(value), map(str, allowed))
    raise _at_error(ConfigError(f"{shown(value)} is not allowed", hint=hint), where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if type(value) is kind and kind is not float:
        return value
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    number = type(value) is not bool and isinstance(value, int | float | Integral | Real)  # NumPy's too
    if kind is int and number and isinstance(value, int | Integral):
        return int(value)
    if kind is float and number:
        try:
            found = float(value)
        except OverflowError:  # a whole number that no float can hold
            found = math.inf
        if not math.isfinite(found):
            raise _at_error(ConfigError(f"{shown(value)} is not a finite number"), where)
        return found
    raise _mismatch(where, _expected(kind), value)


def _key(kind: Any, key: Any, where: str) -> Any:
    """A key of a dict as `kind` says: numbers are strings in tables."""
    if kind in (int, float) and isinstance(key, str):
        try:
            key = kind(key)
        except ValueError:
            raise _mismatch(where, f"{_expected(kind)} as a key", key) from None
    return _PYTHON.read(kind, key, where)


def _require_known(table: Mapping[Any, Any], kind: Any, names: list[str], where: str) -> None:
    unknown = [str(key) for key in table if key not in names]
    if unknown:
        allowed = f"'{kind.TYPE}' takes no keys" if not names else suggestion(unknown[0], names)
        raise ConfigError(f"{_at(where, unknown[0])}: unknown key", hint=allowed or f"allowed: {', '.join(names)}")


@cache
def _fields(kind: Any) -> tuple[dict[str, Any], tuple[dataclasses.Field[Any], ...]]:
    return typing.get_type_hints(kind), dataclasses.fields(kind)


@cache
def _checks(kind: Any) -> tuple[tuple[str, Any, frozenset[type], Callable[[Any], bool]], ...]:
    """For each field its name, its hint, the types that are right whatever the value, and whether another is right."""
    hints, fields = _fields(kind)
    return tuple(
        (field.name, hints[field.name], _right(hints[field.name]), _fits(hints[field.name])) for field in fields
    )


def _right(kind: Any) -> frozenset[type]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return frozenset().union(*map(_right, typing.get_args(kind)))
    return frozenset([kind] if kind in (int, str, bool, type(None)) or dataclasses.is_dataclass(kind) else [])


def _fits(kind: Any) -> Callable[[Any], bool]:
    """A quick look that is right about what it takes; `_Reader` looks closely at what it does not."""
    origin, arms = typing.get_origin(kind), typing.get_args(kind)
    if kind is float:
        return lambda value: type(value) is float and math.isfinite(value)
    if origin is typing.Literal and all(type(word) is str for word in arms):
        return lambda value: type(value) is str and value in arms
    if origin is tuple and arms[-1] is Ellipsis:
        right, fits = _right(arms[0]), _fits(arms[0])
        return lambda value: type(value) is tuple and (right.issuperset(map(type, value)) or all(map(fits, value)))
    if origin in (typing.Union, types.UnionType) and len(arms) == 2 and arms[1] is type(None):
        return _fits(arms[0])
    return lambda value: False


def _expected(kind: Any) -> str:
    if typing.get_origin(kind) in (tuple, Sequence):
        return "a list"
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    if typing.get_origin(kind) is dict:
        return "a table"
    return _WORDS.get(kind, "") or str(getattr(kind, "__name__", kind))


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _at_error(error: InputError, where: str) -> InputError:
    """The error with `where` before its message."""
    if where:
        error.message = f"{where}: {error.message}"
        error.args = (error.message,)
    return error


def _mismatch(where: str, want: str, got: Any) -> InputError:
    return _at_error(ConfigError(f"expected {want}, got {shown(got)}"), where)
