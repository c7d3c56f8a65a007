"""Averages of weights (EMA, SWA) in checkpoints: which tensors are averages, and of which weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from convscale.dialects.pickles import class_of

Path = tuple[str, ...]
Tables = dict[Path, dict[str, Tensor]]

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_AVERAGE = re.compile(r"ema|swa|averaged?|averages|averaging|avg|moving|polyak|shadow|modelema|emamodel", re.IGNORECASE)
_RAW = re.compile(r"online|raw|current|collected|backup", re.IGNORECASE)
COUNTER = "n_averaged"  # of PyTorch's AveragedModel and Lightning's callback
_STATISTICS = ("running_mean", "running_var")
_BUFFERS = (*_STATISTICS, "num_batches_tracked")
PLAIN = ("dict", "OrderedDict")  # mappings that are no objects of a class of their own
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

    def is_within(self, other: Network) -> bool:
        """Whether `other` has the same tensors, or more."""
        return self.tensors.keys() <= other.tensors.keys() and all(
            torch.equal(value, other.tensors[name]) for name, value in self.tensors.items()
        )


def labelled(found: Mapping[Any, Any], tables: Tables, networks: list[Network]) -> list[Network]:
    """The networks, with which of them are averages."""
    swapped = _swapped(found)
    labels = []
    for network in networks:
        count = _count(found, tables[network.path], network)
        averaged = swapped.get(network.path, _says_average((*network.path, network.prefix)) or count is not None)
        labels.append(replace(network, averaged=averaged, begun=count is None or count > 0))
    return labels


def _swapped(found: Mapping[Any, Any]) -> dict[Path, bool]:
    """Lightning's WeightAveraging and MMEngine put the averages where the weights were."""
    if {"averaging_state", "current_model_state", "state_dict"} <= found.keys():
        return {("state_dict",): True, ("current_model_state",): False}
    meta = found.get("meta")
    if "ema_state_dict" in found and isinstance(meta, Mapping) and "mmengine_version" in meta:
        return {("state_dict",): True, ("ema_state_dict",): False}
    return {}


def _says_average(keys: Sequence[str]) -> bool:
    """Whether the innermost key that says either says averages."""
    for part in reversed(".".join(keys).split(".")):
        words = _WORD.findall(part)
        if any(_RAW.fullmatch(word) for word in words):
            return False
        if any(_AVERAGE.fullmatch(word) for word in words):
            return True
    return False


def _count(found: Mapping[Any, Any], table: dict[str, Tensor], network: Network) -> int | None:
    """How many weights an average is of, where a counter beside it says that: before its names, or around it."""
    parts = network.prefix.split(".")
    beside = [".".join([*parts[:end], COUNTER]) for end in range(len(parts))]
    values: list[Any] = [table[key] for key in beside if key in table]
    around: Any = found
    for key in network.path[:-1]:
        around = around[key]
    if isinstance(around, Mapping) and network.path and _says_average(network.path):
        values += [around.get(COUNTER)]
    if _swapped(found).get(network.path):
        values += [found.get("averaging_state", {}).get(COUNTER)]
    return next((int(value) for value in values if isinstance(value, int | Tensor)), None)


def without_signs(tables: Tables, raw: list[Network], known: list[Network]) -> list[Network]:
    """Averages of a part of the parameters, which lack the sign of their dialect: their names are those of weights."""
    networks = []
    for path in tables.keys() - {network.path for network in known}:
        if not _says_average(path):
            continue
        keys = [key for key, value in tables[path].items() if value.is_floating_point() and value.ndim]
        for prefix in _prefixes(keys):
            tensors = {key.removeprefix(prefix): tables[path][key] for key in keys}
            if tensors and any(_belongs(tensors, network) == len(tensors) for network in raw):
                networks.append(Network(path, prefix, tensors, frozenset(keys), averaged=True))
                break
    return networks


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


def without_names(found: Mapping[Any, Any], raw: list[Network]) -> tuple[list[Network], list[str]]:
    """Averages that are a list in the order of a network's parameters, and what is said of those that are not read."""
    networks, notes = [], []
    for path, value in _nameless(found, ()):
        place = ".".join(path)
        if isinstance(value, Mapping):
            notes.append(f"averages under {place!r} are not read: they are {class_of(value)}, not tensors by name")
            continue
        for network in raw:
            names = [name for name in network.tensors if not name.endswith(_BUFFERS)]
            tensors = dict(zip(names, value, strict=False))
            if len(names) == len(value) == _belongs(tensors, network):
                networks.append(Network(path, "", tensors, frozenset(), averaged=True))
                break
        else:
            notes.append(f"averages under {place!r} are not read: {len(value)} tensors without names")
    return networks, notes


def _nameless(found: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Lists of tensors, and objects without any, whose keys say averages."""
    if isinstance(found, Mapping):
        if not found and class_of(found) not in PLAIN and _says_average(path):
            yield path, found
        for key, value in found.items():
            yield from _nameless(value, (*path, str(key)))
    elif isinstance(found, list | tuple):
        if len(found) >= _LISTED and all(isinstance(value, Tensor) for value in found):
            if _says_average(path):
                yield path, list(found)
            return
        for index, value in enumerate(found):
            yield from _nameless(value, (*path, str(index)))


def completed(averages: Network, raw: list[Network]) -> tuple[dict[str, Tensor], list[str]]:
    """The averages, with the raw tensors of which there are none, and what is said of the raw weights."""
    tensors = averages.tensors
    if averages.path[-1:] == ("average_model_state",):  # Lightning's: its statistics are those from before averaging
        tensors = {name: value for name, value in tensors.items() if not name.endswith(_STATISTICS)}
    nearest = max(raw, key=lambda network: _belongs(tensors, network), default=None)
    if nearest is None or _belongs(tensors, nearest) < len(tensors) / 2:
        return averages.tensors, ["these are averages of weights"]
    notes = [f"these are averages of weights: the raw ones, under {nearest.place!r}, are not used"]
    if not nearest.place:
        notes = ["these are averages of weights: the raw ones beside them are not used"]
    missing = [name for name in nearest.tensors if name not in tensors and not name.endswith(_BUFFERS[-1])]
    if missing:
        notes.append(f"{len(missing)} tensors have no averages, as {missing[0]}: the raw ones are taken")
    return tensors | {name: nearest.tensors[name] for name in missing}, notes
