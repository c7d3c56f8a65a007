"""The public face: every name that a signature mentions is there, lists and files are those of the command line."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import optuna
import pytest
from torch import Tensor

import convscale as cs
import convscale.networks
from convscale.cli import main as cli_main
from convscale.deploy.judging_images import GivenLabels
from convscale.evaluation.inputs import GivenImage
from convscale.files import format_toml
from convscale.schema import to_table
from tests.cli.calling import run, run_json
from tests.images import digit_photos

# What only type checkers import.
LATE = {"optuna": optuna, "Tensor": Tensor, "Model": cs.Model, "GivenImage": GivenImage, "GivenLabels": GivenLabels}
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
        hints = typing.get_type_hints(owner, localns=LATE)
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
    listed = [row["name"] for row in run_json(capsys, *command)[noun]]
    assert [name for name in listed if name != "grids"] == names()  # grids trains nothing: it is no StudySpec
    assert all(name in run(capsys, *command)[1] for name in names()) and len(set(names())) == len(names()) > 0
    for name in names() if opened else ():
        assert opened(name) == opened(str(name))
    assert cs.list_laws()[0] == "compound" and all(cs.law(name).name == name for name in cs.list_laws())


# One name a thing: recipe and set, in fit, train and resume


@pytest.mark.long
def test_fit_takes_a_recipe_and_changes_of_it(tmp_path: Path) -> None:
    budget, own = cs.Budget(macs="1M"), replace(cs.recipe("digits"), epochs=1, warmup_epochs=0)
    (tmp_path / "own.toml").write_text(cs_toml(own))
    photos = digit_photos(tmp_path / "photos", 20)
    ways: dict[str, dict[str, Any]] = {
        "object": {"recipe": own, "set": ["weight_decay=1e-3"]},
        "file": {"recipe": tmp_path / "own.toml", "set": ("weight_decay=1e-3",)},
        "before": {"recipe_name": str(tmp_path / "own.toml"), "changes": ["weight_decay=1e-3"]},
    }
    for name, options in ways.items():
        found = cs.fit(photos, budget, output=str(tmp_path / name), quiet=True, **options)
        assert found.recipe == replace(own, weight_decay=1e-3) == found.run.recipe()
        assert any("weight_decay" in line for line in found.run.settings().changed)
        assert found.choice.recipe_name == ("as given" if name == "object" else str(tmp_path / "own.toml"))
        assert "1 epoch of recipe" in repr(found) and str(found.plan.network.resolution) in repr(found)


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
