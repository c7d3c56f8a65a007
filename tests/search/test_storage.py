"""A search and Optuna: none is needed, and a storage that is asked for holds every candidate with its end."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from convscale import optuna_storage
from convscale.errors import ConfigError, RunError
from convscale.networks import ConvNet
from tests.search.planted import candidates, search, towards

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.usefixtures("planned_once")

WITHOUT_OPTUNA = """
import sys
sys.modules["optuna"] = sys.modules["sqlalchemy"] = None  # importing them fails
import convscale as cs
net = cs.network("small-mbconv")
options = {"lengths": [10, 30], "cost": 4, "share_step": 0.5}
found = cs.find_coefficients(net, lambda network, seed, steps: network.stages[-1].channels / 1000, **options)
assert found.beta > found.alpha
try:
    cs.find_coefficients(net, lambda *question: 1 / 0, storage="sqlite:///none.db", **options)
except cs.ConvscaleError as error:
    print(type(error).__name__, error)
"""


def test_a_search_over_a_function_needs_no_optuna() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_OPTUNA], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("MissingExtraError storage= needs optuna") and "convscale[study]" in done.stdout


def test_the_storage_holds_every_candidate_with_its_end_and_is_written_anew(tmp_path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'search.db'}")
    sound = towards((0.5, 0.25, 0.25), noise=0.002)
    broken = candidates().found[0].network

    def evaluate(network: ConvNet, seed: int, steps: int) -> float:
        return math.nan if network == broken else sound(network, seed, steps)

    first = search(evaluate, storage=storage)
    again = search(evaluate, storage=storage)
    assert first.coefficients == again.coefficients
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    states = {"finalist": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    assert [trial.state.name for trial in study.trials] == [states[one.state] for one in again.candidates]
    assert {"COMPLETE", "PRUNED", "FAIL"} == {trial.state.name for trial in study.trials}
    assert "the accuracy is nan" in study.trials[0].user_attrs["failure"]
    assert study.best_trial.number == again.candidates.index(again.best)
    assert study.best_value == again.best.accuracy
    assert study.best_trial.user_attrs["shares"] == list(again.best.candidate.shares)
    assert set(study.best_trial.intermediate_values) == set(again.best.accuracies)
    storage.remove_session()
    storage.engine.dispose()


def test_a_storage_that_goes_away_is_tried_again_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [2]

    def shaky() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise optuna.exceptions.StorageInternalError("database is locked")
        return "there"

    assert optuna_storage.retried(shaky, "search.db", "wait") == "there"
    monkeypatch.setattr(optuna_storage, "SECONDS_OF_RETRIES", 0.0)
    left[0] = 99
    with pytest.raises(RunError, match="search.db: the store does not answer .*database is locked.*wait"):
        optuna_storage.retried(shaky, "search.db", "wait")
    with pytest.raises(ZeroDivisionError):
        optuna_storage.retried(lambda: 1 / 0, "search.db", "wait")


@pytest.mark.parametrize(
    ("storage", "error", "words"),
    [
        ("sqlite:///{}/no/such/folder/search.db", RunError, "the store does not answer"),
        ("nonsense", ConfigError, "storage 'nonsense'"),
        ("nosuchdialect:///file", ConfigError, "storage 'nosuchdialect"),
    ],
)
def test_no_search_is_made_for_a_storage_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, error: type[Exception], words: str
) -> None:
    monkeypatch.setattr(optuna_storage, "SECONDS_OF_RETRIES", 0.1)
    asked: list[int] = []
    with pytest.raises(error, match=words):
        search(lambda network, seed, steps: asked.append(seed) or 0.5, storage=storage.format(tmp_path))  # type: ignore[func-returns-value]
    assert not asked
