"""What stands beside tensors in a pickle is read as plain values, or refused by its name, and never run."""

from __future__ import annotations

import argparse
import builtins
import collections
import dataclasses
import datetime
import enum
import functools
import operator
import os
import pickle
import re
import runpy
import subprocess
import types
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from convscale.dialects.pickles import class_of, load_pickle
from convscale.dialects.reading import read_foreign
from convscale.errors import RunError
from tests.dialects.trainers import elsewhere, save


class Mode(enum.Enum):
    FAST = "fast"


class Level(enum.IntEnum):
    HIGH = 1


class Point(NamedTuple):
    x: int = 1


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    output: Path = Path("runs")
    mode: Mode = Mode.FAST


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    lr: float = 0.1
    parent: Config = dataclasses.field(default_factory=Config)


class Plain:
    """With a state of its own kind."""

    def __getstate__(self) -> tuple[int, str]:
        return 1, "a"


class Registry(dict[str, Any]):
    """A dictionary with attributes."""

    def __init__(self, **values: Any) -> None:
        super().__init__(values)
        self.name = "registry"


PLAIN: dict[str, Any] = {
    "Namespace": argparse.Namespace(lr=0.1, nested=argparse.Namespace(path=Path("a"))),
    "SimpleNamespace": types.SimpleNamespace(a=1),
    "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "deque": collections.deque([1, 2], maxlen=3),
    "Counter": collections.Counter("aab"),
    "paths": [Path("a/b"), PureWindowsPath("c:/d")],
    "sets": ({1}, frozenset({2})),
    "numbers": [1j, 2**70, True, None, b"bytes", bytearray(b"a")],
    "numpy scalars": [np.float32(0.5), np.float64(0.5), np.int64(1), np.bool_(True), np.str_("a")],
    "numpy arrays": [np.zeros(3), np.array(["a"]), np.dtype("float32")],
    "numpy generators": (np.random.get_state(), np.random.default_rng(0), np.random.RandomState(0)),
    "dates": [datetime.datetime(2026, 1, 1), datetime.timedelta(1), datetime.UTC, datetime.date(2026, 1, 1)],
    "torch values": [torch.Size((1, 2)), torch.device("cpu"), torch.float16, torch.get_rng_state()],
    "enumerations": {"mode": Mode.FAST, "level": Level.HIGH},
    "named tuple": Point(),
    "data class": Config(),
    "frozen data class": Frozen(),
    "own state": Plain(),
    "partial": functools.partial(torch.optim.SGD, lr=0.1),
    "pattern": [re.compile("a+"), operator.itemgetter(1)],
    "own dictionary": Registry(a=1),
    "a class": [Config, int, torch.optim.SGD],
    "a function": [len, os.path.join, torch.relu],
    "a module": torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.SiLU()),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_are_read(tmp_path: Path, name: str, legacy: bool) -> None:
    if name == "a module" and legacy:
        pytest.skip("the older format keeps a module's source")
    checkpoint = {"weight": torch.ones(2), "beside": PLAIN[name], "after": [1, "a"]}
    file = save(checkpoint, tmp_path / "file.pt", _use_new_zipfile_serialization=not legacy)
    found, _ = load_pickle(file)
    assert torch.equal(found["weight"], torch.ones(2)) and found["after"] == [1, "a"]


def test_only_classes_of_others_are_reported(tmp_path: Path) -> None:
    assert not load_pickle(save([PLAIN["Namespace"], PLAIN["numpy arrays"]], tmp_path / "a.pt")).classes
    found, classes = load_pickle(save({"config": Config()}, tmp_path / "b.pt"))
    assert classes == (f"{__name__}.Config", f"{__name__}.Mode") and class_of(found["config"]) == f"{__name__}.Config"
    file = save({"stem.conv.conv.weight": torch.ones(2, 2), "config": Config()}, tmp_path / "c.pt")
    assert read_foreign(file).notes == (f"neither read nor run: objects of {', '.join(classes)}",)
    file = save(elsewhere("trainer.config", "Config")(), tmp_path / "d.pt")
    assert load_pickle(file).classes == ("trainer.config.Config",)


class Calls:
    """A careless reader would call this."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


CALLS = {
    "posix.system": (os.system, "touch TRAP"),
    "subprocess.Popen": (subprocess.Popen, ["touch", "TRAP"]),
    "builtins.eval": (eval, "open('TRAP', 'w')"),
    "builtins.exec": (exec, "open('TRAP', 'w')"),
    "runpy.run_path": (runpy.run_path, "TRAP"),
    "torch.hub.load": (torch.hub.load, "TRAP", "model"),
    "numpy.load": (np.load, "TRAP"),
    "builtins.open": (builtins.open, "TRAP", "w"),
    "pathlib.Path.touch": (Path.touch, Path("TRAP")),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_calls_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, legacy: bool) -> None:
    monkeypatch.chdir(tmp_path)
    evil = {"stem.conv.conv.weight": torch.ones(2), "args": argparse.Namespace(evil=Calls(*CALLS[name]))}
    file = save(evil, tmp_path / "evil.pt", _use_new_zipfile_serialization=not legacy)
    reason = {"builtins.open": "would call io.open", "pathlib.Path.touch": "objects of .*pathlib.Path"}
    with pytest.raises(RunError, match=f"{reason.get(name, f'would call {name}')}.*: refused"):
        read_foreign(file)
    assert not (tmp_path / "TRAP").exists()


def test_what_cannot_be_read_as_weights_only_is_named(tmp_path: Path) -> None:
    class_name = f"{__name__}.Stack"
    with pytest.raises(RunError, match=f"objects of {class_name}: refused"):
        read_foreign(save({"a": torch.ones(2), "b": Stack([1, 2])}, tmp_path / "a.pt"))
    for protocol in (3, 4, 5):
        file = save({"a": torch.ones(2)}, tmp_path / "b.pt", pickle_protocol=protocol)
        with pytest.raises(RunError, match=rf"protocol {protocol} cannot be read as weights only.*pickle_protocol=2"):
            read_foreign(file)
    (tmp_path / "c.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(RunError, match="protocol 4 cannot be read as weights only"):
        read_foreign(tmp_path / "c.pth")


class Stack(list[int]):
    """A list of a class of its own."""
