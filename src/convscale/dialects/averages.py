"""Averages of weights (EMA, SWA) in checkpoints: which tensors are averages, and of which weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from convscale.dialects.nesting import Nested, Path
from convscale.dialects.pickles import class_of

Tables = dict[Path, dict[str, Tensor]]

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_AVERAGE = re.compile(r"ema|swa|polyak|averaged|averages|averaging|modelema|emamodel", re.IGNORECASE)
# Words that networks have in their names too (avg_pool_net, shadow_net): they say averages beside these words alone.
_COMMON = re.compile(
    r"((model|module|weights?|params?|parameters|state|dict|variables)_)*"
    r"((moving_)?(avg|average)|shadow(?!_model))"
    r"(_(models?|module|weights?|params?|parameters|state|dict|variables))*"
)
# The second half is of optimizers: exp_avg, square_avg.
_RAW = re.compile(r"non|no|not|without|before|online|raw|current|collected|backup|exp|sq|square", re.IGNORECASE)
COUNTER = "n_averaged"  # of PyTorch's AveragedModel and Lightning's callback
_STATISTICS = ("running_mean", "running_var")
_BUFFERS = (*_STATISTICS, "num_batches_tracked")
PLAIN = ("dict", "OrderedDict")  # mappings that are no objects of a class of their own
_OPTIONS = ("argparse.Namespace", "types.SimpleNamespace", "collections.defaultdict")
_LISTED = 8  # tensors that a list of averages has at least


@dataclass(frozen=True, slots=True)
class Network:
    """Tensors by their own names, which stand under `path` with `prefix` before them, as `keys`.

    averaged: they are averages of weights. begun: False for averages of nothing yet.
    """

    path: Path
    prefix: str
    tensors: dict[str, Tensor] = field(repr=False)
    keys: frozenset[str] = field(repr=False)
    averaged: bool = False
    begun: bool = True

    @property
    def place(self) -> str:
        """The path of keys, and the prefix."""
        return ".".join([*self.path, *([self.prefix.rstrip(".")] if self.prefix else [])])

    @property
    def key(self) -> str:
        """The path of keys, and the prefix where it is that which says averages."""
        by_prefix = _says_average([self.prefix]) and not _says_average(self.path)
        return self.place if by_prefix or not self.path else ".".join(self.path)

    def is_average_of(self, raw: Network) -> bool:
        """Whether `raw` has all of its parameters, and each tensor of both in one shape."""
        shapes = {name: raw.tensors[name].shape for name in self.tensors if name in raw.tensors}
        return all(self.tensors[name].shape == shape for name, shape in shapes.items()) and all(
            name in shapes or name.endswith(_BUFFERS) for name in self.tensors
        )

    def is_within(self, other: Network) -> bool:
        """Whether `other` has the same tensors, or more."""
        return self.tensors.keys() <= other.tensors.keys() and all(
            torch.equal(value, other.tensors[name]) for name, value in self.tensors.items()
        )


def labelled(nested: Nested, tables: Tables, networks: list[Network]) -> list[Network]:
    """The networks, with which of them are averages."""
    swapped = _swapped(nested)
    labels = []
    for network in networks:
        count = _count(nested, tables[network.path], network)
        averaged = swapped.get(network.path, _says_average((*network.path, network.prefix)) or count is not None)
        labels.append(replace(network, averaged=averaged, begun=count is None or count > 0))
    return labels


def _swapped(nested: Nested) -> dict[Path, bool]:
    """Lightning's WeightAveraging and MMEngine put the averages where the weights were."""
    weights, raw, averages = ("state_dict",), ("current_model_state",), ("ema_state_dict",)
    if {weights, raw, _STATE} <= nested.keys():
        return {weights: True, raw: False}
    if averages in nested and "mmengine_version" in nested.get(("meta",), ()):
        return {weights: True, averages: False}
    return {}


_STATE = ("averaging_state",)


def _says_average(keys: Sequence[str]) -> bool:
    """Whether the innermost key that says either says averages."""
    for part in reversed(".".join(keys).split(".")):
        words = _WORD.findall(part)
        if any(_RAW.fullmatch(word) for word in words):
            return False
        if any(_AVERAGE.fullmatch(word) for word in words) or _COMMON.fullmatch("_".join(words).lower()):
            return True
    return False


def _count(nested: Nested, table: dict[str, Tensor], network: Network) -> int | None:
    """How many weights an average is of, where a counter beside it says that: before its names, or around it."""
    parts = network.prefix.split(".")
    beside = [".".join([*parts[:end], COUNTER]) for end in range(len(parts))]
    values: list[Any] = [table[key] for key in beside if key in table]
    around = [network.path[:-1]] if _says_average(network.path) else []
    around += [_STATE] if _swapped(nested).get(network.path) else []
    for path in around:
        holder = nested.get(path)
        values += [holder.get(COUNTER)] if isinstance(holder, Mapping) else []
    values = [value for value in values if isinstance(value, int) or (isinstance(value, Tensor) and value.numel() == 1)]
    return int(values[0]) if values else None


def without_signs(nested: Nested, tables: Tables, known: list[Network]) -> tuple[list[Network], list[str]]:
    """Averages that lack the sign of their dialect, being of some parameters alone or named without dots, and notes on
    those that are not read."""
    raw, taken = [network for network in known if not network.averaged], _taken(known)
    networks, notes = [], []
    for path, table in tables.items():
        left = [key for key, value in table.items() if (path, key) not in taken and _is_weight(value)]
        for group, keys in _groups(path, left).items():
            matching = (
                replace(network, path=path, prefix=prefix, tensors=tensors, keys=frozenset(keys), averaged=True)
                for network in raw for prefix in _prefixes(keys)
                if (tensors := _matched(network, {key.removeprefix(prefix): table[key] for key in keys}))
            )  # fmt: skip
            match = next(matching, None)
            if match is not None:
                networks += labelled(nested, tables, [match])
            else:
                place = ".".join((*path, group)).rstrip(".")
                notes.append(
                    f"averages under {place!r} are ignored: their names or shapes are not those of the weights"
                )
    return networks, notes


def _taken(networks: list[Network]) -> set[tuple[Path, str]]:
    return {(network.path, key) for network in networks for key in network.keys}


def _is_weight(value: Tensor) -> bool:
    """Counters, decays and the states of random generators do not count."""
    return value.ndim > 0 and value.is_floating_point()


def _groups(path: Path, keys: list[str]) -> dict[str, list[str]]:
    """The keys that say averages, by what says it: the path, or the part before a dot."""
    if _says_average(path):
        return {"": keys} if keys else {}
    groups: dict[str, list[str]] = {}
    for key in keys:
        parts = key.split(".")
        ends = [end for end in range(1, len(parts)) if _says_average(parts[:end])]
        if ends:
            groups.setdefault(".".join(parts[: ends[0]]), []).append(key)
    return groups


def _matched(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the network's names, with dots or without; nothing where one is not of the network."""
    names = {name.replace(".", ""): name for name in network.tensors} | {name: name for name in network.tensors}
    found = {names[name]: value for name, value in tensors.items() if name in names}
    return found if len(found) == _belongs(found, network) == len(tensors) else {}


def _prefixes(keys: list[str]) -> Iterator[str]:
    """Everything that could stand before each key, the longest first, and nothing."""
    parts = keys[0].split(".") if keys else []
    for end in range(len(parts) - 1, 0, -1):
        prefix = ".".join(parts[:end]) + "."
        if all(key.startswith(prefix) for key in keys):
            yield prefix
    yield ""


def _belongs(tensors: dict[str, Tensor], network: Network) -> int:
    """How many of the tensors have the name and shape of one of the network's."""
    return sum(
        name in network.tensors and network.tensors[name].shape == value.shape for name, value in tensors.items()
    )


def without_names(nested: Nested, known: list[Network]) -> tuple[list[Network], list[str]]:
    """Averages that are a list in the order of a network's parameters, and notes on those that are not read."""
    raw = [network for network in known if not network.averaged]
    networks, notes = [], []
    for path, value in nested.items():
        if not _says_average(path):
            continue
        place = ".".join(path)
        if isinstance(value, Mapping):
            if not value and class_of(value) not in (*PLAIN, *_OPTIONS):
                notes.append(f"averages under {place!r} are ignored: they are {class_of(value)}, not named tensors")
        elif len(value) >= _LISTED and all(isinstance(one, Tensor) for one in value):
            lists = [tensors for network in raw if (tensors := _in_order(network, value))]
            networks += [Network(path, "", tensors, frozenset(), averaged=True) for tensors in lists[:1]]
            notes += [] if lists else [f"averages under {place!r} are ignored: {len(value)} tensors without names"]
    return networks, notes


def _in_order(network: Network, values: Sequence[Tensor]) -> dict[str, Tensor]:
    """The values by the names of the network's parameters; nothing where number or shapes are others."""
    names = [name for name in network.tensors if not name.endswith(_BUFFERS)]
    tensors = dict(zip(names, values, strict=False))
    return tensors if len(names) == len(values) == _belongs(tensors, network) else {}


def unused(tables: Tables, networks: list[Network], chosen: Network) -> Iterator[str]:
    """The weights of no network, by their keys."""
    taken = _taken(networks)
    for path, table in tables.items():
        for key, value in table.items():
            if (path, key) not in taken and _is_weight(value):
                yield key if path == chosen.path else ".".join((*path, key))


def completed(averages: Network, raw: list[Network]) -> tuple[dict[str, Tensor], list[str]]:
    """The averages, completed with raw tensors where there are none, and notes on the raw weights."""
    tensors = averages.tensors
    if averages.path[-1:] == ("average_model_state",):  # Lightning's: its statistics are those from before averaging
        tensors = {name: value for name, value in tensors.items() if not name.endswith(_STATISTICS)}
    nearest = max((one for one in raw if averages.is_average_of(one)), key=lambda one: len(one.tensors), default=None)
    if nearest is None:
        return averages.tensors, ["these are averages of weights"]
    where = f", under {nearest.place!r}," if nearest.place else " beside them"
    notes = [f"these are averages of weights: the raw ones{where} are not used"]
    missing = [name for name in nearest.tensors if name not in tensors and not name.endswith(_BUFFERS[-1])]
    if missing:
        have = "tensor has no average" if len(missing) == 1 else "tensors have no averages"
        notes.append(f"{len(missing)} {have}, such as {missing[0]}: the raw values are used")
    return tensors | {name: nearest.tensors[name] for name in missing}, notes
