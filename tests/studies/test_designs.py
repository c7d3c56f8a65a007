"""Studies that come along or are asked for: networks of one true cost, and what is refused."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.errors import BudgetError, ConfigError, DataError, UnknownNameError
from convscale.files import write_toml
from convscale.records import FactorCurve, Method
from convscale.scaling import DIMENSIONS
from convscale.schema import to_table
from convscale.search.coefficients import candidates_toward
from convscale.studies.designs import design
from convscale.studies.spec import list_studies, read_study, settled
from tests.studies.planted import DIGITS, FOUR, ran, spec

pytest.importorskip("optuna")

ALONE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

# The studies that come along


@pytest.mark.parametrize("name", list_studies())
def test_single_dimensions_of_the_studies_that_come_along_have_networks(name: str) -> None:
    study = read_study(name)
    assert study.question.endswith((")", "?")) and len(study.lengths) >= 2 and study.seeds >= 2
    single = [DIMENSIONS.index(method.law) for method in study.methods if method.law in DIMENSIONS]
    for baseline in study.baselines if study.data is None else ():  # of colour: the demo's images are grey
        network = cs.network(baseline)
        sized = network.at_resolution(study.resolution or network.resolution)
        for asked in study.costs:
            for place, one in zip(single, candidates_toward(sized, asked, [ALONE[at] for at in single]), strict=True):
                assert not isinstance(one, str) and one.actual == ALONE[place], one
                assert 0.98 <= one.cost_ratio / asked <= 1 and one.macs == cs.cost(one.network).macs


def test_every_method_of_the_demo_has_a_network() -> None:
    designed = design(settled(read_study("demo")))
    assert [one.method for one in designed.points] == ["baseline", "compound", "depth", "width", "resolution"]
    for point in designed.points[1:]:
        assert point.asked is not None and 0.98 <= point.cost_ratio / point.asked <= 1
        assert point.macs == cs.cost(point.network).macs


def test_the_studies_that_come_along() -> None:
    asked = {"observations", "table7", "table3", "laws", "transfer", "curves", "demo"}
    assert set(list_studies()) == asked | {f"converged{of}" for of in ("", "-imagenette", "-observations", "-table3")}
    with pytest.raises(UnknownNameError, match="table7"):
        read_study("tabel7")


# Design


def test_methods_cost_the_same_and_grow_what_they_say() -> None:
    designed = design(spec(costs=(4.0, 8.0)))
    assert [point.method for point in designed.points] == [
        "baseline", *(method.law for method in FOUR), *(method.law for method in FOUR)
    ]  # fmt: skip
    for point in designed.points[1:]:
        assert point.asked is not None and 0.98 <= point.cost_ratio / point.asked <= 1
        assert point.shares is not None
        if point.method != "compound":
            assert point.shares[DIMENSIONS.index(point.method)] == 1
    assert designed == design(spec(costs=(4.0, 8.0)))


@pytest.mark.long
def test_what_cannot_be_had_is_named(tmp_path: Path) -> None:
    designed = design(spec(costs=(1.1, 4.0), allow_missing=True))
    assert {(one.method, one.asked) for one in designed.unreachable} >= {("depth", 1.1)}
    assert all("shares" in one.reason or "cost" in one.reason for one in designed.unreachable)
    with pytest.raises(BudgetError, match="no method reaches its cost"):
        ran(tmp_path, spec(costs=(1.01,), methods=(Method(law="depth"),)))
    assert not (tmp_path / "settings.json").exists()
    assert "depth" in "\n".join(
        one.method for one in ran(tmp_path, spec(costs=(1.1, 4.0), allow_missing=True)).unreachable
    )


def test_a_cost_with_fewer_than_two_methods_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """At 1.01 times the cost neither depth nor resolution alone has a network, at 1.6 only resolution."""
    single = FOUR[1:]
    with pytest.raises(
        BudgetError, match=r"at 1.6 times the MACs of small-mbconv only resolution has a network: depth: "
    ) as found:
        ran(tmp_path, spec(costs=(1.6, 4.0), methods=single))
    assert "--allow-missing" in str(found.value.hint) and "depth alone comes no nearer than" in str(found.value)
    assert not (tmp_path / "settings.json").exists()
    with pytest.raises(BudgetError, match="at 1.01 times the MACs of small-mbconv no method has a network"):
        design(spec(costs=(1.01, 4.0), methods=(FOUR[1], FOUR[3])))
    assert [one.method for one in design(spec(costs=(1.6,), methods=single[2:])).points] == ["baseline", "resolution"]
    allowed = design(spec(costs=(1.6, 4.0), methods=single, allow_missing=True))
    assert len(allowed.points) == 5 and {one.asked for one in allowed.unreachable} == {1.6}


def test_a_baseline_that_is_too_shallow_is_said_so() -> None:
    one = replace(cs.network("small-resnet"), stages=cs.network("small-resnet").stages[:1])
    flat = replace(one, stages=(replace(one.stages[0], fixed_depth=True),))
    file = Path("flat.toml")
    study = spec(
        baselines=(str(file),), resolution=16, methods=(Method(law="depth"), Method(law="width")), allow_missing=True
    )
    with contextdir():
        write_toml(file, to_table(flat))
        designed = design(study)
    assert [unreachable.method for unreachable in designed.unreachable] == ["depth"]


@contextmanager
def contextdir() -> Any:
    import contextlib
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield


def test_curves_take_factors_as_they_are() -> None:
    curve = FactorCurve(name="width alone", points=((1, 1, 1), (1, 2, 1), (1, 2, 2)))
    designed = design(spec(methods=(), costs=(), curves=(curve,)))
    assert [point.method for point in designed.points] == ["baseline"] + ["width alone"] * 3
    assert designed.points[1].network == designed.points[0].network
    assert [point.network.resolution for point in designed.points] == [16, 16, 16, 32]


# What is refused, and what is filled in


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": (2,)}, "two or more, in epochs"),
        ({"lengths": (2, 2)}, "increasing"),
        ({"seeds": 1}, "2 or more"),
        ({"costs": (1.0,)}, "above 1"),
        ({"costs": ()}, "compares nothing"),
        ({"methods": ()}, "compares nothing"),
        ({"baselines": ()}, "no baselines"),
        ({"methods": FOUR + FOUR[:1]}, "have the same name"),
    ],
)
def test_a_study_that_cannot_conclude_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    "given",
    [{}, {"law": "depth", "shares": (1.0, 1.0, 1.0)}, {"shares": (1.0, 2.0)}, {"law": "depth", "name": "baseline"}],
)
def test_a_method_says_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Method(**given)
    with pytest.raises(ConfigError, match="a list of 3"):
        FactorCurve(name="flat", points=((1.0, 2.0),))


def test_unknown_keys_and_names_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    table = to_table(spec())
    write_toml(file, table | {"seed": 3})
    with pytest.raises(ConfigError, match="seed"):
        read_study(file)
    with pytest.raises(UnknownNameError, match="depht"):
        design(spec(methods=(Method(law="depht"),)))
    with pytest.raises(ConfigError, match="names no images"):
        design(spec(data=None))
    with pytest.raises(DataError, match="not 5,000"):
        design(spec(data=replace(DIGITS, train_images=5000)))


def test_coefficients_of_a_search_become_numbers(tmp_path: Path) -> None:
    (tmp_path / "coefficients.json").write_text('{"alpha": 1.3, "beta": 1.1, "gamma": 1.1, "candidates": []}')
    found = settled(spec(methods=(*FOUR, Method(coefficients=str(tmp_path)))))
    assert found.methods[-1] == Method(coefficients="1.3,1.1,1.1", name="searched")
    assert settled(found) == found
