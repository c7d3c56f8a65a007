"""One check for all frozen tables, and the way to plain tables and back for all that is kept."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pkgutil
import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import convscale as cs
from convscale import files, networks, recipes, units
from convscale.errors import BudgetError, ConfigError, InputError, UnitError
from convscale.networks import ConvNet, MBConv, Pool, Row, ScalingRules, Squeeze, Stage, Stem
from convscale.planning import read_budget
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.runs import Settings
from convscale.schema import check, from_table, to_table

ROOTS = (
    "ConvNet", "Recipe", "Preprocessing", "Settings", "WeightsHeader", "Trial", "StudySpec", "SearchSettings",
    "TrainingSearch", "FamilyTraining", "Scaling", "ScalingLaw", "Coefficients",
)  # fmt: skip


def frozen_classes() -> dict[str, type]:
    """Every frozen dataclass of the package, by name, but those of rooms that bring PyTorch's modules."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(cs.__path__, "convscale."):
        if module.name.split(".")[1] in ("cli", "nn", "dialects", "evaluation", "training", "data", "__main__"):
            continue
        for value in vars(import_module(module.name)).values():
            own = isinstance(value, type) and value.__module__.startswith("convscale")
            if own and dataclasses.is_dataclass(value) and value.__dataclass_params__.frozen:
                found[value.__qualname__] = value
    return found


FROZEN = frozen_classes()


def members(kind: Any) -> Iterator[type]:
    """The dataclasses in a type hint, those that they hold too."""
    for arm in typing.get_args(kind):
        yield from members(arm)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from members(hint)


def checks(kind: type) -> bool:
    """Whether it checks itself."""
    return "check(self)" in inspect.getsource(kind)


TABLES = {kind for root in ROOTS for kind in members(FROZEN[root]) if dataclasses.fields(kind)}
CHECKED = sorted(TABLES | set(filter(checks, FROZEN.values())), key=lambda kind: kind.__qualname__)


def like(kind: Any) -> Any:
    """A value of the right type, whatever it means."""
    origin, arms = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return arms[0]
    if origin in (typing.Union, types.UnionType):
        return like(arms[0])
    if origin in (tuple, Sequence):
        return tuple(like(arm) for arm in arms if arm is not Ellipsis)
    if origin is dict:
        return {like(arms[0]): like(arms[1])}
    if dataclasses.is_dataclass(kind):
        return object.__new__(kind)  # type: ignore[call-overload]
    return 1 if kind is Any else kind(1)


def wrong(kind: Any) -> list[Any]:
    """Values that are not of the type."""
    origin, arms = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return ["no such word", 1, True, None, object()]
    if origin in (typing.Union, types.UnionType):
        found = wrong(arms[0])
        return [value for value in found if value is not None] if type(None) in arms else found
    if origin in (tuple, Sequence):
        short = [] if arms[-1] is Ellipsis or origin is Sequence else [()]
        return [3, "ab", None, (object(),), *short]
    if origin is dict:
        return [3, "ab", None, [], {object(): like(arms[1])}]
    if dataclasses.is_dataclass(kind):
        return [{}, None, "ab", object(), kind]
    values = {int: [True, 1.5, "1"], float: [True, "1", float("nan"), 1j], str: [1, b"a"], bool: [1, "true"]}
    return [*values[kind], None, object()]


@pytest.mark.parametrize("kind", CHECKED, ids=lambda kind: kind.__qualname__)
def test_a_wrong_type_is_refused_in_every_field(kind: Any) -> None:
    hints = typing.get_type_hints(kind)
    right = {one.name: like(hints[one.name]) for one in dataclasses.fields(kind)}
    for name in right:
        for value in wrong(hints[name]):
            with pytest.raises(ConfigError) as caught:
                kind(**right | {name: value})
            assert caught.value.message.startswith(name), (name, value, caught.value)


def test_members_that_are_there_are_found() -> None:
    names = {kind.__qualname__ for kind in CHECKED}
    assert names >= {"MBConv", "Squeeze", "Stem", "Row", "Origin", "Staircase", "NetworkValues", "Method", "DataChoice"}
    assert len(names) > 35


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Squeeze(0.25, of="inputs"), r"of: 'inputs' is not allowed.*did you mean 'input'"),  # type: ignore[arg-type]
        (lambda: ScalingRules(repeats="round"), r"repeats: 'round' is not allowed.*ceil, nearest"),  # type: ignore[arg-type]
        (lambda: MBConv(3, 6, activation="swish"), r"activation: 'swish' is not allowed.*hard_swish"),  # type: ignore[arg-type]
        (lambda: Stem(32.5), r"channels: expected a whole number, got 32.5"),  # type: ignore[arg-type]
        (lambda: Stem(True), r"channels: expected a whole number, got True"),
        (lambda: Row("mbconv", 1), r"block: expected MBConv or FusedMBConv"),  # type: ignore[arg-type]
        (lambda: Stage(8, 1, (MBConv(3, 6),)), r"rows\[0\]: expected Row"),  # type: ignore[arg-type]
        (lambda: cs.network("small-resnet").at_resolution("32"), r"resolution: expected a whole number"),  # type: ignore[arg-type]
        (lambda: Preprocessing(32, value_range=(0.0, 1.0, 2.0)), r"value_range: expected a list of 2"),  # type: ignore[arg-type]
        (lambda: cs.recipe("digits").with_changes(precision="fp16"), r"precision: 'fp16' is not allowed"),
    ],
)
def test_words_that_are_not_allowed(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_what_is_as_good_is_stored_as_the_hint_says() -> None:
    block = MBConv(np.int64(3), 6)  # type: ignore[arg-type]
    assert (type(block.kernel), type(block.expansion)) == (int, float) and block == MBConv(3, 6.0)
    assert type(MBConv(3, np.float32(4)).expansion) is float  # type: ignore[arg-type]
    stage = Stage(8, 1, [Row(block, 1)])  # type: ignore[arg-type]
    assert stage.rows == (Row(block, 1),) and hash(stage)
    assert type(cs.Scaling(2).depth) is float and cs.Scaling(Fraction(1, 2)).depth == 0.5  # type: ignore[arg-type]


def test_the_check_of_every_room() -> None:
    """A table that is added to a union or a field is checked too, or this says so."""
    assert not [kind.__qualname__ for kind in TABLES if not checks(kind)]


# Tables and back


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type hint that a table can hold."""
    origin, arms = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return st.sampled_from(arms)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, arms))
    if origin is tuple and arms[-1] is Ellipsis:
        return st.lists(values_of(arms[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arms))
    if origin is dict:
        return st.dictionaries(values_of(arms[0]), values_of(arms[1]), max_size=3)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        parts = {one.name: values_of(hints[one.name]) for one in dataclasses.fields(kind)}
        return st.fixed_dictionaries(parts).map(lambda found: made(kind, found)).filter(lambda one: one is not None)
    numbers = st.integers(1, 8) | st.integers(-(2**60), 2**60)
    floats = st.floats(0.05, 0.95) | st.floats(allow_nan=False, allow_infinity=False)
    return {int: numbers, float: floats, str: st.text(max_size=5), bool: st.booleans(), type(None): st.none()}[kind]


def made(kind: Any, parts: dict[str, Any]) -> Any:
    """The dataclass, None where its values are out of range."""
    try:
        return kind(**parts)
    except InputError:
        return None


KEPT = ("TrialResult", "TrialRecord", "Provenance", "Origin", "Coefficients", "DataChoice")
PARTS = [
    recipes.SGD, recipes.AdamW, recipes.Cosine, recipes.Constant, recipes.Augmentation, recipes.SearchGrid, Squeeze,
    networks.Count, Pool, Settings,
]  # fmt: skip


@pytest.mark.parametrize("kind", [*map(FROZEN.get, KEPT), *PARTS], ids=lambda kind: kind.__qualname__)
def test_what_is_kept_reads_back(kind: Any) -> None:
    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(values_of(kind), st.booleans())
    def back(value: Any, complete: bool) -> None:
        table = to_table(value, complete=complete)
        again = from_table(kind, json.loads(json.dumps(table)))
        assert again == value and to_table(again, complete=complete) == table
        for one in dataclasses.fields(kind):
            assert not complete or one.name in table or getattr(value, one.name) is None

    back()


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnet-b3", "resnext-50-32x4d", "mobilenet-v3-large"])
def test_complete_networks_and_recipes_read_back_from_toml(name: str) -> None:
    wholes: list[tuple[Any, Any]] = [(ConvNet, cs.network(name)), (Recipe, cs.recipe("efficientnet"))]
    for kind, value in wholes:
        text = files.format_toml(to_table(value, complete=True))
        again = from_table(kind, files.read_toml_text(text, name))
        assert again == value and to_table(again, complete=True) == to_table(value, complete=True)
    whole, short = to_table(cs.network(name), complete=True), cs.network(name).as_dict()
    assert whole.keys() | {"origin"} == {one.name for one in dataclasses.fields(ConvNet)}
    assert len(short) < len(whole) and len(short["stem"]) < len(whole["stem"]) == len(dataclasses.fields(Stem))


@dataclass(frozen=True)
class Measured:
    pair: tuple[str, float]
    span: tuple[float, float]
    by_steps: dict[int, dict[int, float]]
    limit: float | str | None = None
    place: Path = Path("here")

    def __post_init__(self) -> None:
        check(self)


MEASURED = Measured(("a", 1.0), (0.0, 2.5), {100: {0: 0.5, 1: 1.0}}, "600M", Path("there/x"))


def test_pairs_numbers_as_keys_and_paths() -> None:
    table = to_table(MEASURED)
    assert table["by_steps"] == {"100": {"0": 0.5, "1": 1}} and table["place"] == "there/x"
    assert from_table(Measured, json.loads(json.dumps(table))) == MEASURED
    assert from_table(Measured, files.read_toml_text(files.format_toml(table), "x")) == MEASURED
    assert from_table(Measured, table | {"limit": 3}).limit == 3.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair": [1, 1]}, r"file: pair\[0\]: expected a string"),
        ({"pair": ["a", "b"]}, r"file: pair\[1\]: expected a number"),
        ({"span": [1, 2, 3]}, r"file: span: expected a list of 2, got \[1, 2, 3\]"),
        ({"by_steps": {"ten": {}}}, r"file: by_steps.ten: expected a whole number as a key, got 'ten'"),
        ({"by_steps": {"10": {"0": "x"}}}, r"file: by_steps.10.0: expected a number"),
        ({"limit": True}, r"file: limit: expected a number or a string, got True"),
        ({"place": 3}, r"file: place: expected a path"),
    ],
)
def test_what_does_not_read_says_where(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_table(Measured, to_table(MEASURED) | change, "file")


# Budgets and quantities

LIMITS = st.fixed_dictionaries({}, optional={one.name: st.floats(1e-3, 1e15) for one in dataclasses.fields(cs.Budget)})


@given(LIMITS.filter(bool))
def test_a_budget_is_written_and_read_again(limits: dict[str, float]) -> None:
    budget = cs.Budget(**limits)
    table = to_table(budget)
    assert from_table(cs.Budget, json.loads(json.dumps(table))) == budget
    assert from_table(cs.Budget, files.read_toml_text(files.format_toml(table), "budget")) == budget


def test_a_budget_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "budget.toml").write_text('macs = "600M"\nlatency_seconds = "15ms"\n')
    assert read_budget(tmp_path / "budget.toml") == cs.Budget(macs=6e8, latency_seconds=0.015)
    for content, error, message in (
        ('{"macs": "many"}', UnitError, "budget.json: macs: 'many' is not a quantity"),
        ('{"mac": 1}', ConfigError, "budget.json: mac: unknown key.*'macs'"),
        ('{"macs": true}', ConfigError, "budget.json: macs: expected a number or a string"),
        ("{}", BudgetError, "budget.json: a budget needs at least one limit"),
    ):
        (tmp_path / "budget.json").write_text(content)
        with pytest.raises(error, match=message):
            read_budget(tmp_path / "budget.json")


def test_limits_that_are_none() -> None:
    for value in (10**5000, -(10**5000), Fraction(-1, 2), "1e400", np.array([1.0, 2.0]), 1j, object()):
        with pytest.raises(UnitError, match="^macs: "):
            cs.Budget(macs=value)  # type: ignore[arg-type]


def test_numbers_of_every_kind_are_limits() -> None:
    for value, read in (
        (Fraction(1, 2), 0.5),
        (np.float32(5e6), 5e6),
        (np.int64(7), 7.0),
        ("5.M", 5e6),
        (".5k", 500.0),
    ):
        assert cs.Budget(macs=value).macs == read


PARSERS = {
    units.parse_count: units.format_count, units.parse_bytes: units.format_bytes,
    units.parse_seconds: units.format_seconds,
}  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text(max_size=12) | st.from_regex(r"[0-9.e+-]{0,8} ?[a-zA-Z]{0,3}", fullmatch=True))
def test_any_text_is_a_quantity_or_a_unit_error(parse: Any, text: str) -> None:
    with suppress(UnitError):
        assert 0 < parse(text) < float("inf")


@pytest.mark.parametrize("parse", PARSERS)
@given(value=st.floats(1e-3, 1e13))
def test_what_is_formatted_parses_to_about_the_same(parse: Any, value: float) -> None:
    assert parse(PARSERS[parse](value)) == pytest.approx(value, rel=0.051 if parse is units.parse_seconds else 0.006)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9996, "1.0s"), (0.9994, "999ms"), (59.97, "1m00s"), (59.94, "59.9s"), (3599.7, "1h00m"), (4000, "1h06m")],
)
def test_seconds_at_the_edges(seconds: float, text: str) -> None:
    assert units.format_seconds(seconds) == text
