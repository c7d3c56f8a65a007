"""The precision "auto": chosen once by measurement where a processor has bfloat16, recorded, and kept on resume."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

import convscale as cs
from convscale import machine
from convscale.nn import Speedups
from convscale.recipes import Recipe
from convscale.runs import Run
from convscale.training import precision
from tests.training.small_runs import PROBE, forked, killing_itself, state_of, trained

PLAIN = Recipe(note="a test", epochs=2, batch=16, learning_rate=0.02)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor with bfloat16, which trains 1.6 and evaluates 2.4 times as fast in it."""
    monkeypatch.setattr(machine, "has_fast_bf16", lambda: True)
    monkeypatch.setattr(precision, "bf16_speedups", lambda network, batch: Speedups(1.6, 2.4))
    return monkeypatch


def never(*arguments: object) -> Speedups:
    raise AssertionError("measured")


def chosen(run: Path) -> tuple[str, str]:
    return Run(run).recipe().precision, Run(run).settings().evaluation_precision


def test_without_bfloat16_nothing_is_measured(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_fast_bf16", lambda: False)
    monkeypatch.setattr(precision, "bf16_speedups", never)
    trained(photos, tmp_path / "run", PLAIN)
    assert chosen(tmp_path / "run") == ("auto", "fp32")
    trained(photos, tmp_path / "fp32", replace(PLAIN, precision="fp32"))
    assert state_of(tmp_path / "run") == state_of(tmp_path / "fp32")


def test_the_faster_one_is_chosen_and_recorded(photos: Path, tmp_path: Path, fast: pytest.MonkeyPatch) -> None:
    trained(photos, tmp_path / "run", PLAIN)
    story = Run(tmp_path / "run").story()
    decision = None if story is None else story.decision("precision")
    assert chosen(tmp_path / "run") == ("bf16", "bf16") and decision is not None
    assert decision.choice == "bf16" and "1.60" in decision.why and "2.40" in decision.why
    again = cs.evaluate(tmp_path / "run", photos, quiet=True)
    assert replace(again, images_per_second=None) == replace(Run(tmp_path / "run").evaluation(), images_per_second=None)
    trained(photos, tmp_path / "bf16", replace(PLAIN, precision="bf16"))
    assert state_of(tmp_path / "run") == state_of(tmp_path / "bf16")


def test_each_use_has_the_precision_that_is_faster_there(
    photos: Path, tmp_path: Path, fast: pytest.MonkeyPatch
) -> None:
    fast.setattr(precision, "bf16_speedups", lambda network, batch: Speedups(0.7, 2.4))
    trained(photos, tmp_path / "run", replace(PLAIN, epochs=1))
    assert chosen(tmp_path / "run") == ("fp32", "bf16")
    fast.setattr(precision, "bf16_speedups", lambda network, batch: Speedups(1.01, 1.01))
    trained(photos, tmp_path / "slow", replace(PLAIN, epochs=1))
    assert chosen(tmp_path / "slow") == ("fp32", "fp32")


def test_what_a_recipe_says_is_not_measured(photos: Path, tmp_path: Path, fast: pytest.MonkeyPatch) -> None:
    fast.setattr(precision, "bf16_speedups", never)
    for name, recipe in (("fp32", replace(PLAIN, precision="fp32")), ("head", replace(PLAIN, trainable="head"))):
        trained(photos, tmp_path / name, replace(recipe, epochs=1))
    trained(photos, tmp_path / "probe", PROBE)


def test_more_epochs_on_another_machine(photos: Path, tmp_path: Path, fast: pytest.MonkeyPatch) -> None:
    """What was measured is kept; where a GPU's precision was used, this machine's is chosen."""
    trained(photos, tmp_path / "run", replace(PLAIN, epochs=1))
    fast.setattr(machine, "has_fast_bf16", lambda: False)
    cs.resume(tmp_path / "run", epochs=1, output=tmp_path / "more", quiet=True)
    assert chosen(tmp_path / "more") == ("bf16", "bf16")
    trained(photos, tmp_path / "gpu", replace(PLAIN, epochs=1), evaluation_precision="bf16")
    assert chosen(tmp_path / "gpu") == ("auto", "bf16")
    cs.resume(tmp_path / "gpu", epochs=1, output=tmp_path / "cpu", quiet=True)
    assert chosen(tmp_path / "cpu") == ("auto", "fp32")


@pytest.mark.parametrize("at", [0, 5])
def test_a_resumed_run_keeps_its_precision(photos: Path, tmp_path: Path, fast: pytest.MonkeyPatch, at: int) -> None:
    """Though it goes on where the other would be chosen, before the first step or in the second epoch."""
    run = tmp_path / "run"
    assert forked(killing_itself("before", at, lambda: trained(photos, run, PLAIN))) == -signal.SIGKILL
    fast.setattr(machine, "has_fast_bf16", lambda: False)
    fast.setattr(precision, "bf16_speedups", never)
    cs.resume(run, quiet=True)
    assert chosen(run) == ("bf16", "bf16")
    trained(photos, tmp_path / "whole", replace(PLAIN, precision="bf16"), evaluation_precision="bf16")
    assert state_of(run) == state_of(tmp_path / "whole")
