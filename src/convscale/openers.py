"""A network, opened from wherever it is, and functions of the rooms below that open theirs in the same way.

The rooms below know only a ConvNet; `opens_network` makes a function of theirs, or of a room above, take all that
`network` takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from convscale import catalog, costs, layers, planning, scaling
from convscale.costs.latency import predicted_seconds
from convscale.errors import ConfigError, RunError
from convscale.headers import read_header
from convscale.networks import ConvNet
from convscale.records import Profile
from convscale.records.files import read_as
from convscale.runs import Run

P = ParamSpec("P")
R = TypeVar("R")


def network(source: ConvNet | str | Path) -> ConvNet:
    """A network: a ConvNet itself, or one by its catalog name, from a TOML file, a run folder or our weights file.

    A name of the catalog comes before a file; "./NAME" is the file. No weights are read and PyTorch is not needed.
    Raises UnknownNameError for what is none of these, ConfigError and RunError for what cannot be read.
    """
    if isinstance(source, ConvNet):
        return source
    if not isinstance(source, str | Path):
        raise ConfigError(
            f"{source!r:.80} is not a network", hint="a ConvNet, a catalog name, a TOML file, a run or a weights file"
        )
    name, path = str(source), Path(source)
    if name in catalog.CATALOG:
        return catalog.network(name)
    if path.is_dir():
        if not (path / "network.toml").exists():
            raise RunError(f"{path}: not a run folder: it has no network.toml")
        return Run(path).network()
    if path.suffix == ".safetensors":
        return read_header(path).network
    if path.suffix == ".toml" or path.is_file():
        return catalog.read_network(path)
    return catalog.network(name)  # which knows what it resembles


_network = network  # which parameters are called too


def opens_network(function: Callable[Concatenate[ConvNet, P], R]) -> Callable[Concatenate[ConvNet | str | Path, P], R]:
    """The same function, whose first argument may be whatever `network` opens."""
    signature = inspect.signature(function)
    first, *others = signature.parameters.values()
    kind = ConvNet | str | Path

    @wraps(function)
    def opened(*args: Any, **options: Any) -> R:
        if args:
            return function(network(args[0]), *args[1:], **options)
        if first.name in options:
            options[first.name] = network(options[first.name])
        return function(**options)  # type: ignore[call-arg]

    opened.__annotations__ = function.__annotations__ | {first.name: kind}
    opened.__signature__ = signature.replace(parameters=[first.replace(annotation=kind), *others])  # type: ignore[attr-defined]
    return opened


scale = opens_network(scaling.scale)
resolve = opens_network(layers.resolve)
cost = opens_network(costs.cost)
plan = opens_network(planning.plan)
plan_resolution = opens_network(planning.plan_resolution)
family = opens_network(planning.family)


def open_profile(source: Profile | str | Path) -> Profile:
    """A profile: the record itself, or the file that `convscale profile` wrote. Raises ConfigError where that is none,
    or is damaged, and RunError where it is from a newer version."""
    return source if isinstance(source, Profile) else read_as(Profile, Path(source))


def predict_latency(profile: Profile | str | Path, network: ConvNet | str | Path) -> float:
    """The seconds that a network takes on the machine of a profile, in its engine, for one batch of its size.

    `network` is whatever the function of this name opens. How far that may be off is the profile's `fit`. It is a sum
    over blocks: the geometric mean of a regression by kinds of layers and of a table of layers timed on that machine.
    Raises the errors of `open_profile` and `network`.
    """
    return predicted_seconds(open_profile(profile).predictor(), layers.resolve(_network(network)))
