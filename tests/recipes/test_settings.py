"""Options that contradict one another are refused, wherever a recipe can be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import convscale as cs
from convscale.errors import ConfigError
from convscale.recipes.settings import require_agreement, require_no_length
from tests.cli.calling import run

REFUSED = [
    (["epochs=2"], {"epochs": 1}, "epochs 1 contradicts set 'epochs=2'"),
    (["steps=100"], {"epochs": 1}, "epochs 1 contradicts set 'steps=100'"),
    ([" epochs = 3"], {"epochs": 1}, "epochs 1 contradicts"),
    (["batch=16"], {"batch": 8}, "batch 8 contradicts set 'batch=16'"),
    (["search.weight_decays=[0.1]"], {"search": (1, 1)}, "search off contradicts"),
    (["epochs=2", "epochs=3"], {}, "set 'epochs=2' contradicts set 'epochs=3'"),
    (["optimizer.eps=1e-3", "optimizer.eps=1"], {}, "set 'optimizer.eps=1e-3' contradicts"),
    (["steps=10", "epochs=3"], {}, "set 'epochs=3' contradicts set 'steps=10'"),
]


@pytest.mark.parametrize(("settings", "options", "message"), REFUSED)
def test_what_cannot_both_hold(settings: list[str], options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_agreement(settings, **options)


def test_what_agrees() -> None:
    require_agreement(["epochs=2", "batch=16", "epochs=2"], epochs=2, batch=16, search=(3, 2))
    require_agreement(["search={}", "weight_decay=0.1"], search=(1, 1))
    require_agreement(["search.weight_decays=[0.1]", "epochs=2"], search=(1, 3))


def test_a_type_keeps_the_settings_beside_it_in_any_order() -> None:
    settings = ["optimizer.eps=0.5", "optimizer.type=adamw"]
    recipe = cs.recipe("digits")
    assert recipe.with_settings(settings) == recipe.with_settings(settings[::-1])
    assert recipe.with_settings(settings).optimizer.eps == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "digits", "--macs", "200k", "--epochs", 1, "--set", "epochs=2"),
        ("fit", "digits", "--macs", "200k", "--recipe", "digits", "--batch", 8, "--set", "batch=16"),
        ("train", "small-resnet", "--data", "digits", "--epochs", 1, "--set", "steps=9"),
        ("train", "small-resnet", "--data", "digits", "--search", "off", "--set", "search.learning_rates=[0.1,0.2]"),
        ("train", "small-resnet", "--data", "digits", "--set", "batch=8", "--set", "batch=16"),
        ("resume", "none", "--epochs", 1, "--set", "epochs=2"),
        ("resume", "none", "--epochs", 1, "--set", "steps=20"),
        ("family", "small-resnet", "--train", "--data", "digits", "--epochs", 1, "--set", "epochs=2"),
        ("coefficients", "small-resnet", "--data", "digits", "--set", "epochs=2"),
        ("study", "run", "demo", "--set", "epochs=2"),
        ("study", "run", "demo", "--set", "batch=8", "--set", "batch=16"),
    ],
)
def test_every_command_refuses_them(
    arguments: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *arguments, "-o", tmp_path / "out")
    assert code == 2 and ("contradicts" in err or "decides how long" in err) and "leave" in err
    assert not (tmp_path / "out").exists()


def test_python_refuses_them_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="contradicts"):
        cs.fit("digits", cs.Budget(macs="200k"), epochs=1, set=["epochs=2"], output=tmp_path / "out")
    with pytest.raises(ConfigError, match="contradicts"):
        cs.train("small-resnet", "digits", "digits", tmp_path / "out", set=["epochs=1", "epochs=2"])
    with pytest.raises(ConfigError, match="contradicts"):
        cs.resume(tmp_path / "out", epochs=1, set=["epochs=2"])
    with pytest.raises(ConfigError, match="contradicts"):
        cs.resume(tmp_path / "out", set=["epochs=2", "epochs=3"])
    with pytest.raises(ConfigError, match="--lengths decides"):
        require_no_length(["steps=20"], "--lengths")
