"""Where a training program left the weights: in nested checkpoints, below any prefix, averaged or not.

A network is found by the signs of the dialects (layout.py): its tensors are those whose names begin as the sign's does.
Averages (EMA, SWA) are recognised by the words of their keys (averages.py), and are preferred to the raw weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from torch import Tensor

from convscale.dialects.averages import (
    COUNTER,
    PLAIN,
    Network,
    Tables,
    completed,
    labelled,
    unused,
    without_names,
    without_signs,
)
from convscale.dialects.layout import TORCH_SIGNS
from convscale.dialects.nesting import Nested, flat
from convscale.dialects.pickles import SAVE_STATE, class_of
from convscale.errors import RunError

_SIGN = re.compile(rf"(?:^|\.)({'|'.join(re.escape(sign) + '$' * (sign[-1] != '.') for sign in TORCH_SIGNS)})")
# Modules that wrap others: they may stand anywhere in a name, and belong to nobody.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_NOT_MODELS = re.compile(r"optimi[sz]er|optim(s|_\w*)?$|opt$|opt_|lr_sched|scheduler|scaler|grads?$|gradients?$")
_MOMENTS = re.compile(r"(exp_avg|square_avg|momentum_buffer)\w*")  # what optimizers keep of a parameter
_SMALL = 0.1  # of the largest network's tensors: fewer are a part that looks like one
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Opened:
    """The tensors of one network. averages: the key that they were read from, None for raw weights. prefix: what stood
    before each name. unused: the other tensors of the file, but for raw weights beside averages and optimizers. said:
    the words and arguments beside them."""

    tensors: dict[str, Tensor]
    averages: str | None = None
    prefix: str = ""
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    said: dict[str, Any] = field(default_factory=dict)


def open_container(found: Any, where: str, key: str | None = None) -> Opened:
    """The network in `found`, what a file of PyTorch or safetensors holds; `key`: the one at or below this dotted path
    of keys, "." for the outermost.

    Raises RunError if several networks could be meant, if there are no named tensors, or none at `key`.
    """
    if not isinstance(found, Mapping | list | tuple):
        raise RunError(f"{where}: holds {class_of(found)}, not named tensors", hint=SAVE_STATE)
    nested = flat(found, where)
    tables = _tables(nested)
    networks = labelled(nested, tables, _networks(tables))
    if not networks:
        return _largest_table(nested, tables, where, key)
    partial, notes = without_signs(nested, tables, networks)
    listed, more = without_names(nested, networks)
    networks += [*partial, *listed]
    raw = [network for network in networks if not network.averaged]
    chosen = _only(_candidates(_at(networks, key, where)), where)
    notes = [*_how_read(chosen), *notes, *more, *_not_begun(networks, chosen)]
    tensors = chosen.tensors
    if chosen.averaged:
        tensors, more = completed(chosen, raw)
        notes += more
    rest = tuple(sorted(unused(tables, networks, chosen)))
    return Opened(tensors, chosen.key if chosen.averaged else None, chosen.prefix, rest, tuple(notes))


def _tables(nested: Nested) -> Tables:
    """The tensors of every mapping that has some, by its path; those of optimizers and the like are left out."""
    tables = {
        path: {
            str(key): one.detach()
            for key, one in value.items()
            if isinstance(one, Tensor) and not _MOMENTS.fullmatch(str(key))
        }
        for path, value in nested.items()
        if isinstance(value, Mapping) and not any(_is_no_model(key) for key in path)
    }
    return {path: table for path, table in tables.items() if table}


def _is_no_model(key: str) -> bool:
    return bool(_NOT_MODELS.match(key.lower()) or _MOMENTS.fullmatch(key))


def _networks(tables: Tables) -> list[Network]:
    """What the signs of dialects show."""
    networks = []
    for path, tensors in tables.items():
        names = {key: _WRAPPERS.sub("", key) for key in tensors}
        names = names if len(set(names.values())) == len(names) else {key: key for key in tensors}
        signs = [sign for name in names.values() if (sign := _SIGN.search(name))]
        for prefix in sorted(dict.fromkeys(sign.string[: sign.start(1)] for sign in signs), key=len, reverse=True):
            own = {key: name.removeprefix(prefix) for key, name in names.items() if name.startswith(prefix)}
            names = {key: name for key, name in names.items() if key not in own}
            found = {name: tensors[key] for key, name in own.items()}
            networks.append(Network(path, _as_written(prefix, list(own)), found, frozenset(own)))
    largest = max((len(network.tensors) for network in networks), default=0)
    return [network for network in networks if len(network.tensors) >= _SMALL * largest]


def _as_written(prefix: str, keys: list[str]) -> str:
    """A prefix with the wrappers that every key has in it or after it."""
    begins = accumulate(f"{part}." for part in keys[0].split("."))
    fitting = [begin for begin in begins if _WRAPPERS.sub("", begin) == prefix]
    return max((begin for begin in fitting if all(key.startswith(begin) for key in keys)), key=len, default=prefix)


def _at(networks: list[Network], key: str | None, where: str) -> list[Network]:
    """Those at `key`, else those below it. Raises RunError for none."""
    if key is None:
        return networks
    path = key.strip(".")
    at = [network for network in networks if network.place == path]
    found = at or [network for network in networks if f"{network.place}.".startswith(f"{path}.")]
    if not found:
        places = ", ".join(dict.fromkeys(network.place or "." for network in networks))
        raise RunError(f"{where}: no network at --key {key}", hint=f"its networks are at: {places}")
    return found


def _candidates(networks: list[Network]) -> list[Network]:
    """Averages that have begun, and raw weights, but for those that are known to have such averages."""
    raw = [network for network in networks if not network.averaged]
    averages = [network for network in networks if network.averaged and (network.begun or not raw)]
    replaced: list[Network] = []
    for average in averages:
        of = [one for one in raw if average.is_average_of(one)]
        largest = max(of, key=lambda one: len(one.tensors), default=None)
        replaced += of if largest is not None and all(one.is_within(largest) for one in of) else []
    return [*averages, *(one for one in raw if all(one is not other for other in replaced))]


def _only(networks: list[Network], where: str) -> Network:
    """The one that is meant: of equal ones the most complete. Raises RunError where several differ."""
    kept: list[Network] = []
    for network in sorted(networks, key=lambda network: len(network.tensors), reverse=True):
        if not any(network.is_within(other) for other in kept):
            kept.append(network)
    if len(kept) > 1:
        places = [network.place or "." for network in kept]
        raise RunError(
            f"{where}: any of {len(kept)} networks could be meant: {', '.join(map(repr, places))}",
            hint=f"--key reads one of them: --key {' or --key '.join(places[:3])}",
        )
    return kept[0]


def _how_read(chosen: Network) -> Iterator[str]:
    if chosen.path:
        yield f"read from the checkpoint's {'.'.join(chosen.path)!r}"
    if chosen.prefix:
        yield f"prefix {chosen.prefix!r} is removed from the names"


def _not_begun(networks: list[Network], chosen: Network) -> Iterator[str]:
    for network in networks:
        if network.averaged and not network.begun:
            taken = "their initial values are used" if network is chosen else "the raw weights are used"
            yield f"averages under {network.place!r} have not started ({COUNTER} is 0): {taken}"


def _largest_table(nested: Nested, tables: Tables, where: str, key: str | None) -> Opened:
    """Of a dialect without a sign: the mapping with the most tensors, or the one at `key`."""
    found = nested[()]
    if not tables and (not isinstance(found, Mapping) or class_of(found) not in PLAIN):
        raise RunError(f"{where}: holds {class_of(found)}, not named tensors", hint=SAVE_STATE)
    if not tables:
        held = [f"{key!r} ({_kind(nested.get((str(key),), value))})" for key, value in found.items()]
        raise RunError(
            f"{where}: no named tensors; its keys: {', '.join(held[:_SHOWN]) or 'none'}"
            f"{', ...' * (len(held) > _SHOWN)}",
            hint=SAVE_STATE,
        )
    if key is not None:
        _at([Network(path, "", {}, frozenset()) for path in tables], key, where)
        tables = {
            path: table for path, table in tables.items() if f"{'.'.join(path)}.".startswith(f"{key.strip('.')}.")
        }
    path = max(tables, key=lambda path: len(tables[path]))
    return Opened(tables[path], notes=tuple(_how_read(Network(path, "", {}, frozenset()))))


def _kind(value: Any) -> str:
    """A class, and of mappings that of what they hold."""
    inner = next(iter(value.values()), None) if isinstance(value, Mapping) else None
    return class_of(value) if inner is None else f"{class_of(value)} of {class_of(inner)}"
