"""One opener: a network is taken from wherever it is, by every function and every command."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.schema import from_table, to_table
from convscale.studies.designs import design
from convscale.studies.spec import settled
from tests.cli.calling import run_json
from tests.images import digit_photos


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One network in all that can be opened."""
    folder = tmp_path_factory.mktemp("sources")
    photos = digit_photos(folder / "photos", 20)
    net = replace(cs.network("small-resnet"), input_channels=1, resolution=16, num_classes=3)
    cs.train(
        net,
        photos,
        cs.recipe("digits"),
        folder / "run",
        set=["epochs=1", "warmup_epochs=0"],
        pictures=False,
        quiet=True,
    )
    cs.write_network(net, folder / "net.toml")
    files = {"toml": folder / "net.toml", "run": folder / "run", "weights": folder / "run" / "weights.safetensors"}
    return {"ConvNet": net, "photos": photos} | files | {f"{name}, str": str(path) for name, path in files.items()}


KINDS = ["ConvNet", "toml", "run", "weights", "toml, str", "run, str", "weights, str"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_function_opens_a_network(sources: dict[str, Any], kind: str) -> None:
    net, source = sources["ConvNet"], sources[kind]
    budget, law = cs.Budget(macs="2M"), cs.law("compound")
    assert cs.network(source) == net
    assert cs.cost(source) == cs.cost(network=source) == cs.cost(net)
    assert cs.resolve(source) == cs.resolve(net)
    assert cs.scale(source, law(1)) == cs.scale(net, law(1))
    assert cs.plan(source, budget).network == cs.plan(net, budget).network
    assert cs.plan_resolution(source, budget).network == cs.plan_resolution(net, budget).network
    assert cs.family(source, law, [0, 1]).members[1].network == cs.scale(net, law(1))
    assert cs.build(source, seed=0).network == net
    found = cs.find_coefficients(source, lambda network, seed, steps: network.resolution / 100, lengths=[1, 2], cost=4)
    assert found.baseline == net.name
    spec = cs.StudySpec(name="x", baselines=(source,), resolution=16, costs=(4.48,), methods=(cs.Method(law="depth"),),
                        lengths=(1, 2), data=cs.DataChoice(source=str(sources["photos"])))  # fmt: skip
    kept = settled(spec)
    assert from_table(cs.StudySpec, to_table(kept)) == kept
    assert design(kept).points[0].network == net


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS[1:4])
def test_every_command_opens_a_network(
    capsys: pytest.CaptureFixture[str], sources: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    source, name = sources[kind], sources["ConvNet"].name
    assert run_json(capsys, "show", source)["name"] == name
    assert run_json(capsys, "cost", source)["name"] == name
    assert run_json(capsys, "scale", source, "--depth", 2)["network"]["origin"]["baseline"] == name
    assert run_json(capsys, "plan", source, "--macs", "2M")["network"]["origin"]["baseline"] == name
    assert run_json(capsys, "family", source, "--phi", "0,1")["baseline"] == name
    photos = sources["photos"]
    few = ("--data", photos, "--images", 40, "--test-images", 10)
    assert run_json(capsys, "coefficients", source, *few, "--lengths", "1,2", "--cost", 4, "--dry-run")["candidates"]
    points = run_json(capsys, "study", "run", "demo", *few, "--baseline", source, "--costs", 4.56, "--dry-run")[
        "networks"
    ]
    assert {one["baseline"] for one in points} == {name}
    train = ("train", source, "--data", photos, "--recipe", "digits", "--dry-run")
    assert run_json(capsys, *train)["steps"]
    fitted = ("fit", photos, "--baseline", source, "--macs", "1M", "--epochs", 1, "-o", tmp_path / "fit")
    assert run_json(capsys, *fitted)["baseline"] == name


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("resnet50", cs.UnknownNameError, "did you mean 'resnet-50'"),
        ("empty", cs.RunError, "empty: not a run folder: it has no network.toml"),
        ("bad.toml", cs.ConfigError, "bad.toml"),
        ("bad.safetensors", cs.RunError, "not a safetensors file"),
        ("none.safetensors", cs.RunError, "cannot be read"),
        (7, cs.ConfigError, "7 is not a network"),
    ],
)
def test_what_is_no_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, kind: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("bad.toml").write_text('name = "x"\nresolutoin = 3\n')
    Path("bad.safetensors").write_bytes(b"no")
    for opened in (cs.network, cs.cost):
        with pytest.raises(kind, match=message) as caught:
            opened(source)
        assert caught.value.message.count(str(source)) == 1  # type: ignore[attr-defined]  # the path once


def test_a_name_of_the_catalog_comes_before_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small-mbconv").mkdir()
    cs.write_network(cs.network("resnet-18"), "small-mbconv/network.toml")
    assert cs.network("small-mbconv").name == "small-mbconv" and cs.network("./small-mbconv").name == "resnet-18"
    assert settled(cs.read_study("demo")).baselines == ("small-mbconv",)


def test_two_baselines_of_one_name_are_refused() -> None:
    spec = replace(cs.read_study("demo"), baselines=("small-mbconv", cs.network("small-mbconv")))
    with pytest.raises(cs.ConfigError, match="two baselines are called 'small-mbconv'"):
        design(settled(spec))


def test_signatures_stay_visible() -> None:
    for name in ("cost", "plan", "plan_resolution", "family", "scale", "resolve", "build", "find_coefficients"):
        first = next(iter(inspect.signature(getattr(cs, name)).parameters.values()))
        assert first.annotation == cs.ConvNet | str | Path, name
    assert "predict_latency" in inspect.signature(cs.plan).parameters and "budget" in (cs.plan.__doc__ or "")


LIGHT = """
import sys
import convscale as cs
dir(cs)
run, weights = sys.argv[1:]
for source in (run, weights, "small-mbconv"):
    net = cs.network(source)
    assert cs.cost(source).macs == cs.cost(net).macs
    repr((net, cs.plan(source, cs.Budget(macs="2M")), cs.resolve(source)))
cs.list_networks(), cs.list_laws(), cs.list_recipes(), cs.list_studies(), cs.RunError, cs.Run(run).recipe()
brought = {"torch", "numpy", "PIL"} & set(sys.modules)
assert not brought, brought
"""


def test_networks_are_opened_without_pytorch(sources: dict[str, Any]) -> None:
    arguments = [sys.executable, "-c", LIGHT, str(sources["run"]), str(sources["weights"])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
