"""PyTorch files, read without running anything in them: tensors, plain values, and bags in the place of objects.

torch.load reads weights only, with an allow-list in which every class is an empty stand-in of ours: the objects of a
configuration become mappings of their values, and neither their code nor their library is needed. A pickle that calls
what makes no plain value (os.system, a function) is refused.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from convscale.errors import RunError

SAVE_STATE = "ask its author to save model.state_dict(), preferably as safetensors"
_LEGACY_PICKLES = 5  # magic number, protocol, machine, value, keys of storages: one after the other
_PROTOCOL = 2  # what torch.save writes, and all that is read as weights only
_NEVER = ("os", "posix", "nt", "sys")  # modules that torch.load refuses to name
# What is called to make plain values. None of them is needed here: they stay empty.
_VALUES = re.compile(
    r"numpy\.(dtype|ndarray|dtypes\.\w+|(core|_core)\.multiarray\.(scalar|_reconstruct)|random\.[\w.]+)"
    r"|pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path"
    r"|datetime\.(datetime|date|time|timedelta|timezone)|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
    r"|functools\.partial|re\._compile|operator\.\w+getter|copyreg\._reconstructor"
    r"|builtins\.(getattr|frozenset|slice|range)"  # getattr: a member of an enumeration
)
_TENSORS = ("torch.", "collections.OrderedDict")  # what tensors by name are made of
_MAPPINGS = ("collections.defaultdict", "types.SimpleNamespace")
_LISTS = ("collections.deque",)


class Unpickled(NamedTuple):
    """What a file holds, and the classes, other than Python's and PyTorch's, whose objects were read as bags."""

    value: Any
    classes: tuple[str, ...]


def class_of(value: object) -> str:
    """The class of a value that was read, by the name that the file gives."""
    return str(getattr(value, _NAME, "") or type(value).__name__)


def without_attributes(value: Any) -> Any:
    """A mapping without the attributes that a file gave it, which could be called `items`; other values as they are."""
    if not isinstance(value, OrderedDict) or not vars(value):
        return value
    clean = OrderedDict(dict.items(value))
    setattr(clean, _NAME, vars(value).get(_NAME, ""))
    return clean


def is_pickle(path: Path) -> bool:
    """Whether a file of any name is one that torch.save writes, now or in its older format."""
    with suppress(zipfile.BadZipFile, NotImplementedError, ValueError), zipfile.ZipFile(path) as archive:
        return any(member.endswith("/data.pkl") for member in archive.namelist())
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that the older format begins with


def load_pickle(path: Path) -> Unpickled:
    """The value in a PyTorch file.

    Raises RunError for TorchScript and for a pickle that would run something, and what torch.load raises for a damaged
    file.
    """
    names = dict(_names(path))
    called = [name for name in names.values() if name.split(".")[0] in _NEVER]
    if called:
        raise _refused(path, called)
    foreign = tuple(sorted({name for name in names.values() if not _is_known(name)}))
    try:
        try:
            value = _loaded(path, names, called, _mapping)
        except (pickle.UnpicklingError, TypeError, ValueError):
            if called or not foreign:
                raise
            value = _loaded(path, names, called, _Object)
    except (pickle.UnpicklingError, TypeError, ValueError):
        if called:
            raise _refused(path, called) from None
        met = foreign or tuple(sorted({name for name in names.values() if not name.startswith(_TENSORS)}))
        if not met:
            raise
        what = f"objects of {', '.join(met[:5])}{', ...' * (len(met) > 5)}"
        message = f"{path}: the pickle holds more than tensors and plain values, {what}: refused"
        raise RunError(message, hint=SAVE_STATE) from None
    return Unpickled(value, foreign)


def _loaded(path: Path, names: dict[str, str], called: list[str], bag: Callable[[str], Any]) -> Any:
    """The value, with objects as `bag` makes them. What would be called is added to `called`."""
    allowed: list[Any] = [(_StandIn(name, called, bag), written) for written, name in names.items()]
    with torch.serialization.safe_globals([*allowed, (_Object, "convscale.Object")]), path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _refused(path: Path, called: list[str]) -> RunError:
    what = f"it would call {', '.join(dict.fromkeys(called))}"
    return RunError(f"{path}: the pickle holds more than tensors and plain values, {what}: refused", hint=SAVE_STATE)


def _is_known(name: str) -> bool:
    """Whether a class is Python's, PyTorch's or one of plain values."""
    package = name.split(".")[0]
    known = package in sys.stdlib_module_names or _VALUES.fullmatch(name) is not None or package == "torch"
    return known and not name.startswith(("__main__.", "torch.nn.modules."))


_NAME = "_convscale_class"


def _mapping(name: str) -> Any:
    """In the place of an object with attributes or items: of the exact class that torch's unpickler gives both."""
    bag: OrderedDict[Any, Any] = OrderedDict()
    setattr(bag, _NAME, name)
    return bag


class _Object:
    """In the place of an object with any state but items, which nothing here needs."""

    def __init__(self, name: str) -> None:
        setattr(self, _NAME, name)

    def __setstate__(self, state: object) -> None:
        """Whatever it is."""


class _StandIn:
    """In the place of a class or function: its objects are made by `bag`, and calls are refused, and noted in
    `called`, but for those that make plain values."""

    def __init__(self, name: str, called: list[str], bag: Callable[[str], Any]) -> None:
        self.name, self.called = name, called
        self.__dict__["__new__"] = lambda *_: bag(name)  # which the unpickler calls for an object

    def __call__(self, *arguments: Any) -> Any:
        """What a call gives."""
        if self.name in _MAPPINGS:
            return _mapping(self.name)
        if self.name in _LISTS:
            return list(*arguments[:1])
        if _VALUES.fullmatch(self.name) or self._is_member(arguments):
            return _Object(self.name)
        self.called.append(self.name)
        raise pickle.UnpicklingError(self.name)

    def _is_member(self, arguments: tuple[object, ...]) -> bool:
        """A class called with one constant, as members of enumerations are pickled: not the standard library's."""
        package, own = self.name.split(".")[0], self.name.rpartition(".")[2]
        plain = len(arguments) == 1 and isinstance(arguments[0], str | int | float)
        return plain and own[:1].isupper() and package not in sys.stdlib_module_names - {"__main__"}


def _names(path: Path) -> Iterator[tuple[str, str]]:
    """Every class and function that the file names, as written there and as Python 3 calls it: torch's unpickler asks
    for one or the other. Raises RunError for a file that is not read as weights only."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(_LEGACY_PICKLES):
                yield from _names_of_one(path, file)
        return
    with zipfile.ZipFile(path) as archive:
        members = {member.partition("/")[2]: member for member in archive.namelist()}
        if "constants.pkl" in members:
            raise RunError(
                f"{path}: a TorchScript archive, whose weights cannot be read without its code",
                hint="torch.save(torch.jit.load(FILE).state_dict(), OUT), then convert OUT",
            )
        if "data.pkl" in members:
            with archive.open(members["data.pkl"]) as record:
                yield from _names_of_one(path, record)


def _names_of_one(path: Path, file: Any) -> Iterator[tuple[str, str]]:
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "PROTO" and isinstance(argument, int) and argument > _PROTOCOL:
                raise RunError(
                    f"{path}: pickle protocol {argument} cannot be read as weights only: refused",
                    hint=f"torch.save(..., pickle_protocol={_PROTOCOL}), the default, or use safetensors",
                )
            if opcode.name == "GLOBAL":
                module, name = str(argument).split(" ", 1)
                now = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                for written in {(module, name), now}:
                    yield ".".join(written), ".".join(now)
    except RunError:
        raise
    except (ValueError, LookupError, ArithmeticError, EOFError):  # damaged: torch.load says how
        return
