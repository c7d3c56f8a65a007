"""Choices of engines that were made on this machine, in the cache: timing takes seconds to minutes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscale import machine
from convscale.deploy.environment import environment_here
from convscale.errors import ConvscaleError
from convscale.records import EngineChoice, read_as, write_record
from convscale.schema import to_table

if TYPE_CHECKING:
    from convscale.nn import Model

VERSION = 1  # of how engines are judged and timed: another one makes all choices anew
_DIGITS = 32


def choice_key(model: Model, asked: Mapping[str, Any], contents: Sequence[bytes]) -> str:
    """A digest of all that a choice depends on: the network and its weights, what was asked for, the images and files
    that it was judged on or from, and the environment."""
    environment = asdict(environment_here())
    del environment["memory_bytes"]  # other machines of a cluster differ by a page
    table = {"version": VERSION, "network": to_table(model.network, complete=True), "environment": environment}
    digest = hashlib.sha256(json.dumps(table | dict(asked), sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:_DIGITS]


def read_choice(key: str) -> EngineChoice | None:
    """The choice of this key; None where there is none, or none that can be read."""
    path = _path(key)
    try:
        choice = read_as(EngineChoice, path) if path.is_file() else None
    except ConvscaleError:
        return None
    return choice if choice is not None and choice.key == key else None


def keep_choice(choice: EngineChoice) -> None:
    """Keep a choice, where the cache can be written."""
    path = _path(choice.key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, choice, durable=False)
    except OSError:
        return


def _path(key: str) -> Path:
    return machine.cache_folder() / "engines" / f"{key}.json"
