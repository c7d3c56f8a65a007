"""The public face: every name that a signature mentions is there, every noun has one opener, objects fit a screen."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import optuna
import pytest

import convscale as cs
import convscale.networks
from convscale.cli import main as cli_main
from convscale.display import MAX_ROWS, MAX_WIDTH, Display
from convscale.files import format_toml
from convscale.preprocessing import default_preprocessing
from convscale.schema import from_table, to_table
from convscale.studies.designs import design
from convscale.studies.spec import settled
from tests.cli.test_cli import run, run_json

PUBLIC = [name for name in cs.__all__ if name != "__version__"]


def mentioned(hint: Any) -> Iterator[type]:
    """The classes of Convscale in a type hint, however deep."""
    if isinstance(hint, type) and hint.__module__.startswith("convscale."):
        yield hint
    for part in typing.get_args(hint) if not isinstance(hint, list) else hint:
        yield from mentioned(part)


def members(owner: type) -> Iterator[Any]:
    """The class itself, for its fields, and the public functions that it defines."""
    yield owner
    for name, value in vars(owner).items():
        if not name.startswith("_") or name in ("__init__", "__call__"):
            found = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(found):
                yield found


@pytest.mark.parametrize("name", PUBLIC)
def test_what_signatures_mention_is_public(name: str) -> None:
    value = getattr(cs, name)
    for owner in members(value) if isinstance(value, type) else [value]:
        hints = typing.get_type_hints(owner, localns={"optuna": optuna})
        for kind in {kind for hint in hints.values() for kind in mentioned(hint)}:
            homes = [home for home in (cs, convscale.networks) if getattr(home, kind.__name__, None) is kind]
            assert homes, f"cs.{name} mentions {kind.__module__}.{kind.__name__}, which has no public name"


def test_every_public_name_is_declared_and_hides_no_room() -> None:
    tree = ast.parse(Path(cs.__file__).read_text())
    declared = next(node for node in tree.body if isinstance(node, ast.If)).body
    names = [alias.name for node in declared if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(names) == sorted(PUBLIC)
    rooms = {path.stem for path in Path(cs.__file__).parent.iterdir()}
    assert not rooms & set(PUBLIC)  # a room that is imported would take the place of the function
    for name in PUBLIC:
        assert getattr(cs, name).__doc__, name


LISTS = {
    "networks": (cs.list_networks, cs.network, ("list",)),
    "recipes": (cs.list_recipes, cs.recipe, ("recipes", "list")),
    "studies": (cs.list_studies, cs.read_study, ("study", "list")),
    "weights": (cs.list_weights, None, ("weights", "list")),
}


@pytest.mark.parametrize("noun", LISTS)
def test_lists_are_those_of_the_command_line(capsys: pytest.CaptureFixture[str], noun: str) -> None:
    names, opened, command = LISTS[noun]
    assert [row["name"] for row in run_json(capsys, *command)[noun]] == names()
    assert all(name in run(capsys, *command)[1] for name in names()) and len(set(names())) == len(names()) > 0
    for name in names() if opened else ():
        assert opened(name) == opened(str(name))
    assert cs.list_laws()[0] == "compound" and all(cs.law(name).name == name for name in cs.list_laws())


# One opener: a network is taken from wherever it is, by every function and every command


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One network in all that can be opened."""
    folder = tmp_path_factory.mktemp("sources")
    net = replace(cs.network("small-resnet"), input_channels=1, resolution=16)
    cs.train(net, "digits", cs.recipe("digits"), folder / "run", set=["epochs=1", "warmup_epochs=0"], quiet=True)
    cs.write_network(net, folder / "net.toml")
    files = {"toml": folder / "net.toml", "run": folder / "run", "weights": folder / "run" / "weights.safetensors"}
    return {"ConvNet": net} | files | {f"{name}, str": str(path) for name, path in files.items()}


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
    spec = cs.StudySpec(name="x", baselines=(source,), resolution=16, costs=(4,), methods=(cs.Method(law="depth"),),
                        lengths=(1, 2), data=cs.DataChoice(source="digits"))  # fmt: skip
    kept = settled(spec)
    assert from_table(cs.StudySpec, to_table(kept)) == kept
    assert design(kept).points[0].network == net


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
    few = ("--data", "digits", "--images", 100, "--test-images", 50)
    assert run_json(capsys, "coefficients", source, *few, "--lengths", "1,2", "--cost", 4, "--dry-run")["candidates"]
    points = run_json(capsys, "study", "run", "demo", "--baseline", source, "--dry-run")["networks"]
    assert {one["baseline"] for one in points} == {name}
    train = ("train", source, "--data", "digits", "--recipe", "digits", "--dry-run")
    assert run_json(capsys, *train)["steps"]
    fitted = ("fit", "digits", "--baseline", source, "--macs", "1M", "--epochs", 1, "-o", tmp_path / "fit")
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


# One name a thing: recipe and set, in fit, train and resume


def test_fit_takes_a_recipe_and_changes_of_it(tmp_path: Path) -> None:
    budget, own = cs.Budget(macs="1M"), replace(cs.recipe("digits"), epochs=1, warmup_epochs=0)
    (tmp_path / "own.toml").write_text(cs_toml(own))
    ways: dict[str, dict[str, Any]] = {
        "object": {"recipe": own, "set": ["weight_decay=1e-3"]},
        "file": {"recipe": tmp_path / "own.toml", "set": ("weight_decay=1e-3",)},
        "before": {"recipe_name": str(tmp_path / "own.toml"), "changes": ["weight_decay=1e-3"]},
    }
    for name, options in ways.items():
        found = cs.fit("digits", budget, output=str(tmp_path / name), quiet=True, **options)
        assert found.recipe == replace(own, weight_decay=1e-3) == found.run.recipe()
        assert any("weight_decay" in line for line in found.run.settings().changed)
        assert found.choice.recipe_name == ("as given" if name == "object" else str(tmp_path / "own.toml"))
        assert "1 epochs of recipe" in repr(found) and str(found.plan.network.resolution) in repr(found)


def cs_toml(recipe: cs.Recipe) -> str:
    return format_toml(to_table(recipe))


def test_files_to_copy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What `show` prints is the file: it reads back equal, with its comments."""
    copy = tmp_path / "copy.toml"
    for name in cs.list_networks():
        code, out, _ = run(capsys, "show", name, "--toml")
        copy.write_text(out)
        assert code == 0 and cs.network(copy) == cs.network(name)
        assert to_table(cs.network(copy)) == to_table(cs.network(name))  # name, rules and origin too
    for names, opened, command in ((cs.list_recipes, cs.recipe, "recipes"), (cs.list_studies, cs.read_study, "study")):
        shipped = {path.stem: path for path in Path(cs.__file__).parent.rglob("*.toml")}
        for name in names():
            code, out, _ = run(capsys, command, "show", name)
            copy.write_text(out)
            assert code == 0 and out == shipped[name].read_text() and opened(copy) == opened(name)
            assert run(capsys, command, "show", copy)[1] == out
        assert run(capsys, command, "show", "nope")[0] == 2
        copy.write_text("x = 1\n")
        code, out, err = run(capsys, command, "show", copy)
        assert code == 2 and out == "" and "copy.toml" in err
    assert run(capsys, "show", "resnet-18", "--toml", "--json")[0] == 2


# Objects fit a screen


HOSTILE = '<script>alert("x")</script>\n\x1b[31mred &amp; \u202e' + "long" * 100


def shown() -> dict[str, Any]:
    """One of every kind, with names that somebody else chose."""
    net = replace(cs.network("resnet-18"), name=HOSTILE)
    law = cs.law("compound")
    evaluation = cs.Evaluation(0.5, 0.9, 1000, (0.4, 0.6), tuple(cs.ClassRecord(HOSTILE, 1, 1.0) for _ in range(1000)))
    candidate = cs.Candidate((1, 0, 0), (1, 0, 0), law(1), net, 1, 2.0)
    choice = cs.DataChoice(source=HOSTILE)
    spec = replace(cs.read_study("demo"), name=HOSTILE, question=HOSTILE, data=choice, baselines=(net, HOSTILE))
    preprocessing = default_preprocessing(224, 3)
    return {
        "network": net,
        "scaled": cs.scale(net, law(1)),
        "cost": cs.cost(net),
        "plan": cs.plan(net, cs.Budget(macs="2G", params="12M")),
        "proposal": cs.plan(net, cs.Budget(macs="2G")).chosen,
        "family": cs.family(net, law, [index / 16 for index in range(40)]),
        "graph": cs.resolve(net),
        "block": cs.resolve(net).stem,
        "recipe": replace(cs.recipe("efficientnet"), note=HOSTILE),
        "evaluation": evaluation,
        "candidate": candidate,
        "trial": cs.Trial(network=net, recipe=cs.recipe("digits"), data=choice, seed=0),
        "spec": spec,
        "header": cs.WeightsHeader(net, preprocessing, tuple(f"{HOSTILE}{index}" for index in range(1000))),
        "dataset": cs.open_dataset("digits"),
    }


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    return shown()


SHOWN = [
    "network", "scaled", "cost", "plan", "proposal", "family", "graph", "block", "recipe", "evaluation", "candidate",
    "trial", "spec", "header", "dataset",
]  # fmt: skip


def require_screen(text: str) -> None:
    lines = text.split("\n")
    assert 1 <= len(lines) <= MAX_ROWS + 9
    assert max(map(len, lines)) <= MAX_WIDTH + 20 and all(line == line.rstrip() for line in lines)
    assert all(character.isprintable() for line in lines for character in line)


@pytest.mark.parametrize("kind", SHOWN)
def test_objects_fit_a_screen(objects: dict[str, Any], kind: str) -> None:
    assert list(objects) == SHOWN
    require_screen(repr(objects[kind]))


@pytest.mark.parametrize("name", cs.list_networks())
def test_networks_print_as_their_table(name: str) -> None:
    net = cs.network(name)
    require_screen(repr(net))
    lines = repr(net).splitlines()
    assert name in lines[0] and len(lines) >= len(net.stages) + 4
    for stage, line in zip(net.stages, lines[3:], strict=False):
        assert {str(stage.channels), str(stage.stride), str(stage.repeats)} <= set(line.split())


class Tags(HTMLParser):
    """Which tags a page has, and whether they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name == "style" for name, _ in attrs)
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", [kind for kind in SHOWN if kind != "block"])
def test_pages_hold_names_as_text_alone(objects: dict[str, Any], kind: str) -> None:
    page = objects[kind]._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert not tags.open and tags.seen <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page and "http" not in page
    if kind not in ("dataset", "evaluation"):  # which show no name
        assert "<script>" in tags.text and "&amp;" in tags.text  # as it was written, not as it would be read
    assert len(page) < 20_000


def test_results_print_their_best_rows() -> None:
    row = cs.StudyRow(
        baseline="b", method="m", asked=2.0, cost_ratio=2.0, scaling={}, shares=None, network="n", resolution=32,
        macs=10**6, params=10**5, epochs=4, steps=40, accuracy=0.5, interval95=None, seeds=2, baseline_accuracy=0.4,
        device_seconds=1.0, failures=(),
    )  # fmt: skip
    spec = replace(cs.read_study("demo"), lengths=(2, 4))
    rows = tuple(
        replace(row, method=f"m{index:02}", accuracy=None if index == 0 else index / 100) for index in range(30)
    )
    result = cs.StudyResult(spec=spec, rows=(*rows, replace(row, method="short", epochs=2, accuracy=0.99)),
                            differences=(), length_changes=(), reuses=(), unreachable=())  # fmt: skip
    require_screen(repr(result))
    lines = repr(result).splitlines()
    assert "m29" in lines[2] and "0.2900" in lines[2] and "18 more" in repr(result) and "short" not in repr(result)
    assert spec.question in repr(result).replace("\n    ", " ")


def test_a_display_says_what_it_leaves_out() -> None:
    rows = tuple((f"row {index}", str(index)) for index in range(100))
    for written in (Display("t", ("a", "b"), rows).text(), Display("t", rows=rows).html()):
        assert "row 11" in written and "row 12" not in written and "88 more" in written
    assert Display("only a title").text() == "only a title"


def test_hints_name_real_commands() -> None:
    """Every command that a hint names is there, with its subcommand where it has some."""
    found = 0
    for path in Path(cs.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            hints = [word.value for word in node.keywords if word.arg == "hint"] if isinstance(node, ast.Call) else []
            text = " ".join(
                str(part.value) for hint in hints for part in ast.walk(hint) if isinstance(part, ast.Constant)
            )
            for name, sub in re.findall(r"convscale (?!and )([a-z]+)(?: ([a-z]+))?", text):
                command = cli_main.cli.get_command(click.Context(cli_main.cli), name)
                assert command is not None, f"{path.name}: convscale {name}"
                if isinstance(command, click.Group):
                    assert sub in command.commands, f"{path.name}: convscale {name} {sub}"
                found += 1
    assert found > 10
