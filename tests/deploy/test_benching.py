"""bench_networks: what is measured, in which engines, and what is refused; never how long it takes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import convscale as cs
from convscale import machine
from convscale.deploy import benching
from convscale.deploy.engines import ENGINES, Engine, EngineKind, open_engine
from convscale.deploy.one_batch import peak_bytes
from convscale.deploy.peak_memory import measuring
from convscale.deploy.subjects import open_subject
from convscale.errors import ConfigError, MissingExtraError, UnknownNameError
from convscale.nn import Model
from convscale.records import read_record
from convscale.records.quoted import TABLE4
from tests.benches import bench, row

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"
SHORT: dict[str, Any] = {"seconds": 0.01, "least": 2, "memory": False, "quiet": True}


class Halving:
    """An engine whose logits are half of what they should be."""

    name = "halving"

    def __init__(self, model: Model, threads: int, dtype: Any) -> None:
        self.inner, self.threads, self.dtype = open_engine("eager", model, threads=threads), threads, dtype

    def __call__(self, images: Any) -> Any:
        return self.inner(images) / 2


def breaking(model: Model, threads: int, dtype: Any) -> Engine:
    raise RuntimeError("no operator 'swish'\nlong explanation")


def chooses(engine: str, reason: str = "") -> Any:
    """A `compile` that takes this engine without measuring anything."""
    choice = SimpleNamespace(engine=engine, dtype="float32", reason=reason)
    return lambda model, **_: SimpleNamespace(choice=choice)


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three engines: `all` would compile, which takes long."""
    for name in [name for name in ENGINES if name != "eager"]:
        monkeypatch.delitem(ENGINES, name)
    for kind in (
        EngineKind("halving", Halving, ("float32", "bfloat16")),
        EngineKind("breaking", breaking, ("float32",)),
        EngineKind("elsewhere", breaking, ("float32",), ("no_such_package",), "openvino"),
    ):
        monkeypatch.setitem(ENGINES, kind.name, kind)
    monkeypatch.setattr(benching, "compile", chooses("halving"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(GOLDEN / "v1" / "run", tmp_path_factory.mktemp("bench") / "run"))


def test_every_network_in_every_engine_that_runs_it() -> None:
    found = cs.bench_networks(["tiny-mbconv", cs.network("small-mbconv")], engines=["all"], batch=2, **SHORT)
    kinds = [(one.network, one.engine, one.chosen, one.dtype, one.threads, one.batch) for one in found.rows]
    assert kinds == [
        (network, engine, chosen, "float32", 1, 2)
        for network in ("tiny-mbconv", "small-mbconv")
        for engine, chosen in (("eager", None), ("halving", None), ("auto", "halving"))
    ]
    for one in found.rows:
        assert 0 < one.p10_ms <= one.median_ms <= one.p90_ms and one.n >= 2 and one.anchor_ms > 0
        assert one.busy == (one.wall_over_cpu > 1.1) and one.peak_memory_bytes is None
        assert ("chosen" in one.as_dict()) == (one.engine == "auto")
    assert [one.max_relative_difference for one in found.rows] == pytest.approx([0, 0.5, 0.5] * 2)
    assert all(one.engine == "breaking" and "no operator 'swish'" in one.why for one in found.not_benched)
    assert len(found.not_benched) == 2 and found.measured == "network" and found.environment.cores == machine.cores()


def test_what_auto_could_not_tell_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benching, "compile", chooses("eager", "the machine was busy"))
    found = cs.bench_networks("tiny-mbconv", engines=["auto"], **(SHORT | {"quiet": False}))
    assert [(one.engine, one.chosen) for one in found.rows] == [("auto", "eager")]
    assert "auto took eager for tiny-mbconv: the machine was busy" in capsys.readouterr().err


def test_numbers_that_an_engine_lacks_are_said_and_the_rest_is_timed() -> None:
    found = cs.bench_networks("tiny-mbconv", engines=["eager", "halving"], dtypes=["float32", "int8"], **SHORT)
    assert [(one.engine, one.dtype) for one in found.rows] == [("eager", "float32"), ("halving", "float32")]
    assert [(one.engine, one.dtype) for one in found.not_benched] == [("eager", "int8"), ("halving", "int8")]
    assert "int8" in found.not_benched[0].why


def test_where_nothing_runs_the_reason_is_raised() -> None:
    with pytest.raises(ConfigError, match="swish"):
        cs.bench_networks("tiny-mbconv", engines=["breaking"], **SHORT)
    with pytest.raises(ConfigError, match="int8"):
        cs.bench_networks("tiny-mbconv", dtypes=["int8"], **SHORT)


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"batch": 1.5}, {"threads": 0}, {"seconds": 0}, {"seconds": float("inf")}, {"least": 1}]
)  # fmt: skip
def test_numbers_that_are_not_allowed(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        cs.bench_networks("tiny-mbconv", **(SHORT | options))


def test_what_cannot_be_benched_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'eagre'") as caught:
        cs.bench_networks("tiny-mbconv", engines=["eagre"], **SHORT)
    assert "eager" in caught.value.hint
    with pytest.raises(MissingExtraError, match="no_such_package"):
        cs.bench_networks("tiny-mbconv", engines=["elsewhere"], **SHORT)
    with pytest.raises(UnknownNameError):
        cs.bench_networks("tiny-mbcomv", **SHORT)
    with pytest.raises(ConfigError, match="no network"):
        cs.bench_networks([], **SHORT)
    with pytest.raises(cs.RunError):
        cs.bench_networks(tmp_path, **SHORT)


def test_a_network_too_large_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_available_bytes", lambda: 20_000_000)
    assert cs.bench_networks("tiny-mbconv", **SHORT).rows
    for network, batch in (("efficientnet-b7", 1), ("tiny-mbconv", 10**6)):
        with pytest.raises(ConfigError, match=r"takes about .*, 20MB are free"):
            cs.bench_networks(network, **(SHORT | {"batch": batch}))


def test_a_run_keeps_its_own_rows(trained: Path) -> None:
    run = cs.open_run(trained)
    assert run.bench() is None
    found = cs.bench_networks([trained, "tiny-mbconv", trained / "weights.safetensors"], **SHORT)
    names = [one.network for one in found.rows]
    assert names == [str(trained), "tiny-mbconv", str(trained / "weights.safetensors")]
    kept = run.bench()
    assert kept == replace(found, rows=found.rows[:1]) == read_record(trained / "bench.json")


def test_a_model_is_benched_with_its_own_weights() -> None:
    model = cs.build("tiny-mbconv", seed=5)
    subject = open_subject(model, 3)
    assert subject.model is model and subject.images.shape == (3, 3, *[model.network.resolution] * 2)
    assert cs.bench_networks(model, **SHORT).rows[0].network == "tiny-mbconv"


@pytest.mark.long
def test_memory_is_that_of_a_process_which_does_nothing_else() -> None:
    held = np.ones(80_000_000)
    subject = open_subject("tiny-mbconv", 1)
    with measuring(subject) as measure:
        peak = measure.peak(open_engine("eager", subject.model))
    assert peak is not None and 50e6 < peak < held.nbytes < peak_bytes()


@pytest.mark.long
def test_memory_of_a_process_that_fails_is_not_known() -> None:
    subject = open_subject("tiny-mbconv", 1)
    with measuring(subject) as measure:
        assert measure.peak(Halving(subject.model, 1, "float32")) is None, "no other process knows that engine"


def test_table_4_is_measured_as_the_paper_did(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def planted(networks: Sequence[str], **options: Any) -> cs.Bench:
        asked.update(options, networks=networks)
        return bench([row("eager", 100.0, network=name) for name in networks])

    monkeypatch.setattr(benching, "bench_networks", planted)
    found = cs.bench_table4(engines=["eager"], quiet=True)
    assert asked["networks"] == ["resnet-152", "efficientnet-b1", "efficientnet-b7"]
    assert asked["least"] == 20 and asked["seconds"] < 0.01 and not asked.keys() & {"batch", "threads"}
    assert found.quoted == TABLE4 and {one.network for one in found.quoted} > set(asked["networks"])
