"""The ground floor: quantities, files, and the strict codec between tables and dataclasses."""

from __future__ import annotations

import copy
import math
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscale import files, units
from convscale.errors import (
    ConfigError,
    ConvscaleError,
    InputError,
    MissingExtraError,
    TrainingStopped,
    UnitError,
    UnknownNameError,
)
from convscale.schema import FLATTEN, from_table, to_table


@pytest.mark.parametrize(
    ("text", "value"),
    [("600M", 6e8), ("1.5G", 1.5e9), ("1.5 B", 1.5e9), ("250k", 250e3), ("1e6", 1e6), ("42", 42), (3.5, 3.5)],
)
def test_counts(text: str | float, value: float) -> None:
    assert units.parse_count(text) == value


def test_bytes_and_seconds() -> None:
    assert units.parse_bytes("64MB") == 64e6
    assert units.parse_bytes("64MiB") == 64 * 1024**2
    assert units.parse_bytes("1.5g") == 1.5e9
    assert units.parse_seconds("15ms") == pytest.approx(0.015)
    assert units.parse_seconds("1.5h") == 5400


@pytest.mark.parametrize(
    "bad", ["", "M", "1X", "1 0M", "-1M", "0", "nan", "inf", "1e999", "\uff11M", math.nan, -1, 0, True]
)
def test_what_is_no_quantity(bad: str | float) -> None:
    with pytest.raises(UnitError, match="macs") as caught:
        units.parse_count(bad, "macs")
    assert caught.value.hint


def test_formats() -> None:
    assert units.format_count(5288548) == "5.29M"
    assert units.format_count(999.9e6) == "1G"
    assert units.format_count(12) == "12"
    assert units.format_bytes(21.4e6) == "21.4MB"
    assert units.format_bytes(512) == "512B"
    assert [units.format_seconds(s) for s in (0.0152, 12.34, 75, 4000)] == ["15.2ms", "12.3s", "1m15s", "1h06m"]


@given(st.floats(1e-3, 1e14))
def test_a_formatted_count_reads_back(value: float) -> None:
    assert units.parse_count(units.format_count(value)) == pytest.approx(value, rel=0.006)


def test_errors_are_value_errors_with_an_exit_code() -> None:
    error = UnknownNameError("network", "efficientnet-b9", ["efficientnet-b0", "resnet-50"])
    assert isinstance(error, ValueError) and isinstance(error, InputError)
    assert error.exit_code == 2 and ConvscaleError("x").exit_code == 1
    assert "did you mean 'efficientnet-b0'" in error.hint and error.hint in str(error)


@dataclass(frozen=True)
class Leaf:
    TYPE: ClassVar[str] = "leaf"
    size: int
    weight: float = 1.0
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ConfigError(f"size {self.size} is below 0")


@dataclass(frozen=True)
class Twig:
    TYPE: ClassVar[str] = "twig"
    leaves: tuple[Leaf, ...] = ()


@dataclass(frozen=True)
class Row:
    part: Leaf | Twig = field(metadata=FLATTEN)
    repeats: int


@dataclass(frozen=True)
class Tree:
    name: str
    rows: tuple[Row, ...]
    crown: Leaf | None = None
    green: bool = True


TREE = Tree("oak", (Row(Leaf(3, 0.5, "b"), 2), Row(Twig((Leaf(1), Leaf(2))), 1)), crown=Leaf(0), green=False)


def test_a_table_reads_back_exactly() -> None:
    table = to_table(TREE)
    assert table["rows"][0] == {"type": "leaf", "size": 3, "weight": 0.5, "kind": "b", "repeats": 2}
    assert from_table(Tree, table) == TREE
    assert from_table(Tree, files.read_toml_text(files.format_toml(table), "tree")) == TREE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": "x"}, r"nam: unknown key.*did you mean 'name'"),
        ({"green": 1}, r"green: expected true or false, got 1"),
        ({"name": 3}, r"name: expected a string"),
        ({"rows": 3}, r"rows: expected a list"),
        ({"rows": [{"type": "leef", "size": 1, "repeats": 1}]}, r"rows\[0\].type: unknown 'leef'.*'leaf'"),
        ({"rows": [{"size": 1, "repeats": 1}]}, r"rows\[0\]: needs a key 'type'"),
        ({"rows": [{"type": "leaf", "sise": 1, "repeats": 1}]}, r"rows\[0\]\.size: missing|sise: unknown"),
        ({"rows": [{"type": "leaf", "size": 1, "sise": 1, "repeats": 1}]}, r"rows\[0\].sise: unknown key"),
        ({"rows": [{"type": "leaf", "size": 1, "repeat": 1}]}, r"rows\[0\].repeats: missing"),
        ({"rows": [{"type": "leaf", "size": True, "repeats": 1}]}, r"size: expected a whole number"),
        ({"rows": [{"type": "leaf", "size": 1.0, "repeats": 1}]}, r"size: expected a whole number"),
        ({"rows": [{"type": "leaf", "size": -1, "repeats": 1}]}, r"rows\[0\]: size -1 is below 0"),
        ({"crown": {"size": 1, "weight": math.nan}}, r"crown.weight: nan is not a finite number"),
        ({"crown": {"size": 1, "kind": "c"}}, r"crown.kind: 'c' is not allowed.*allowed: a, b"),
        ({"crown": {"type": "twig", "size": 1}}, r"crown.type: 'twig' is not 'leaf'"),
        ({"crown": "leaf"}, r"crown: expected a table"),
    ],
)
def test_a_wrong_table_says_where(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_table(Tree, to_table(TREE) | change)


def test_a_whole_number_serves_as_a_float() -> None:
    assert from_table(Leaf, {"size": 1, "weight": 2}).weight == 2.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\na = 2", "not valid TOML"),
        (b"a = ", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a = [" + b"[" * 5000, "not valid TOML"),
        (b"#" * 2_000_000, "too large"),
    ],
)
def test_malformed_toml(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        files.read_toml(tmp_path / "x.toml")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        files.read_toml(tmp_path / "x.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        files.read_json(tmp_path)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": Infinity}', "{", "[" * 100_000])
def test_malformed_json(text: str) -> None:
    with pytest.raises(ConfigError, match="here"):
        files.parse_json(text, "here")


def test_a_learning_rate_written_1e_3_is_a_number() -> None:
    assert files.read_toml_text("rate = 1e-3", "x") == {"rate": 0.001}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_text(path, "old")

    def fail(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        files.write_atomic(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    files.write_json(path, {"a": 1})
    assert files.read_json(path) == {"a": 1}
    with pytest.raises(ValueError):
        files.write_json(path, math.nan)
    assert files.read_json(path) == {"a": 1}


def test_a_killed_write_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    code = (
        "import sys; from pathlib import Path; from convscale.files import write_text\n"
        "i = 0\n"
        "while True:\n"
        "    write_text(Path(sys.argv[1]), str(i) * 2_000_000 + 'end'); i = (i + 1) % 10; print(i, flush=True)\n"
    )
    for round_ in range(5):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.01 * round_)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        text = path.read_text()
        assert len(text) == 2_000_003 and text.endswith("end") and len(set(text[:-3])) == 1


def test_written_files_are_readable_by_others(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file", "x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


# Errors travel between processes


def every_kind(kind: type[ConvscaleError] = ConvscaleError) -> Iterator[type[ConvscaleError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_kind(below)


MADE = {
    UnknownNameError: lambda: UnknownNameError("network", "efficientnet-b9", ["efficientnet-b8"]),
    TrainingStopped: lambda: TrainingStopped("SIGTERM in epoch 3", 15, hint="convscale resume run"),
    MissingExtraError: lambda: MissingExtraError("ray", "cluster", "trials on several machines"),
}


@pytest.mark.parametrize("kind", list(dict.fromkeys(every_kind())), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_an_error_says_the_same_in_another_process(
    kind: type[ConvscaleError], again: Callable[[ConvscaleError], ConvscaleError]
) -> None:
    error = MADE.get(kind, lambda: kind("what is wrong", hint="what to do"))()
    error.add_note("seen by process 1")
    other = again(error)
    assert type(other) is kind and str(other) == str(error) and other.args == error.args
    assert (other.message, other.hint, other.exit_code) == (error.message, error.hint, error.exit_code)
    assert other.__notes__ == ["seen by process 1"]
    if isinstance(error, ImportError):
        assert isinstance(other, ImportError) and other.msg == error.msg


def test_a_signals_exit_code_travels() -> None:
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        assert pickle.loads(pickle.dumps(TrainingStopped("stopped", number))).exit_code == code
