"""--layout and --range where many networks are trained: kept with the study, and what its trials are trained by."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.cli import main as cli_main
from convscale.errors import ConfigError, DataError
from convscale.records import DataChoice
from convscale.runs import Run
from convscale.studies.coefficients import _command, read_search
from convscale.trials.training_work import choose_images, train_trial
from convscale.trials.trial import Trial, data_choice
from tests.studies.planted import plant
from tests.works import Inline

pytest.importorskip("optuna")

OPTIONS = ("--layout", "classes", "--range", "985,1115")


@pytest.fixture(scope="module")
def vehicles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class called like a split beside another, of 16 bits of which few are used."""
    root = tmp_path_factory.mktemp("vehicles") / "data"
    for label, name in enumerate(("bus", "train")):
        (root / name).mkdir(parents=True)
        for index in range(12):
            values = np.random.default_rng(index).normal(1000 + 100 * label, 4, (9, 9)).clip(985, 1115)
            Image.fromarray(values.astype(np.uint16)).save(root / name / f"{index}.png")
    return root


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of the command line run here, on accuracies that grow with the seed."""

    @contextmanager
    def executor(*options: Any) -> Any:
        yield Inline(plant(lambda trial: 0.5 + trial.seed / 100))

    for command in ("study", "family", "coefficients"):
        monkeypatch.setattr(f"convscale.cli.{command}.executor", executor)


def test_a_trial_is_trained_by_both(vehicles: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train"):
        choose_images(data_choice(str(vehicles)))
    choice = data_choice(str(vehicles), layout="classes", stored_range=(985, 1115))
    assert choose_images(choice).classes == ("bus", "train")
    small = cs.network("small-mbconv")
    network = replace(small, resolution=8, input_channels=1, num_classes=2, stages=small.stages[:1])
    recipe = cs.Recipe(note="a test", epochs=1, batch=8, learning_rate=0.01)
    trial = Trial(network=network, recipe=recipe, data=choice, seed=0)
    train_trial(trial, tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.preprocessing().stored_range == (985, 1115) and run.data().layout == "classes"  # type: ignore[union-attr]
    assert len({trial.key, *(replace(trial, data=replace(choice, **{name: None})).key
                             for name in ("layout", "stored_range"))}) == 3  # fmt: skip
    with pytest.raises(ConfigError, match="stored_range"):
        DataChoice(source="digits", stored_range=(5, 5))


COMMANDS = {
    "study": ["study", "run", "demo", "--resolution", "8", "--costs", "2", "--lengths", "1,2", "--seeds", "2",
              "--allow-missing"],
    "family": ["family", "small-mbconv", "--phi", "0,1", "--train", "--epochs", "1", "--seeds", "1"],
    "coefficients": ["coefficients", "small-mbconv", "--resolution", "8", "--lengths", "1,2", "--final-seeds", "2",
                     "--seeds", "2"],
}  # fmt: skip


@pytest.mark.long
@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_take_them_and_keep_them(
    name: str, vehicles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*COMMANDS[name], "--data", str(vehicles), "-o", str(tmp_path / "x"), "-q"]
    assert cli_main.run(words) == 2 and "--layout" in capsys.readouterr().err
    assert cli_main.run([*words, *OPTIONS]) == 0, capsys.readouterr().err
    kept = json.loads((tmp_path / "x" / "settings.json").read_text())["data"]
    assert kept["layout"] == "classes" and kept["stored_range"] == [985, 1115]
    assert cli_main.run(["study", "resume", str(tmp_path / "x"), "-q"]) == 0
    capsys.readouterr()
    assert cli_main.run([*words, *OPTIONS[:2]]) == 2  # another study
    assert "stored_range was" in capsys.readouterr().err
    if name == "coefficients":
        assert " --layout classes --range 985,1115 " in _command(read_search(tmp_path / "x"))


@pytest.mark.usefixtures("inline")
def test_what_is_not_used_is_said_before_trials(
    vehicles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for name in ("bus", "tram"):
        (tmp_path / "data" / name).symlink_to(vehicles / ("train" if name == "tram" else name))
    (tmp_path / "data" / "notes.xyz").write_text("x")
    words = [*COMMANDS["family"], "--data", str(tmp_path / "data"), "-o", str(tmp_path / "x")]
    assert cli_main.run(words) == 0
    told = capsys.readouterr().err
    assert "1 file not read: .xyz" in told and "differences between classes may be rounded away; --range" in told
