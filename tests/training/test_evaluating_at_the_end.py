"""Trainings that are evaluated after the last epoch only: the same weights and accuracy, fewer evaluations."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import convscale as cs
from convscale.data.images import Kept
from convscale.recipes import Augmentation, Recipe, recipe
from convscale.runs import BEST_WEIGHTS, Run
from convscale.training import estimate, trainer
from tests.training.small_runs import NETWORK, few, forked, killing_itself, same_weights, tensors, trained

SHIFTED = Recipe(
    note="a test", epochs=3, batch=16, learning_rate=0.02, augmentation=Augmentation(crop="shift", flip=True)
)


def at_the_end(photos: Path, run: Path, recipe: Recipe = SHIFTED, **settings: int) -> Run:
    trained(photos, run, recipe, evaluate_each_epoch=False, **settings)
    return Run(run)


@pytest.mark.parametrize("fresh", [0, 4, 6, 100])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_weights_statistics_and_accuracy_are_the_same(photos: Path, tmp_path: Path, fresh: int, ema: float) -> None:
    """Whether statistics are recomputed in no epoch, in the first alone, or in all: there are four steps in each."""
    settings, chosen = {"fresh_statistics_steps": fresh}, replace(SHIFTED, ema_decay=ema)
    trained(photos, tmp_path / "each", chosen, **settings)
    run = at_the_end(photos, tmp_path / "end", chosen, **settings)
    each = Run(tmp_path / "each")
    assert same_weights(each.path, run.path) and each.evaluation() == run.evaluation()
    assert [record.top1 is None for record in run.metrics()] == [True, True, False]
    assert [record.train_loss for record in run.metrics()] == [record.train_loss for record in each.metrics()]
    result = run.result()
    assert result is not None and (result.best_epoch, result.best_top1) == (3, result.top1)
    assert (each.path / BEST_WEIGHTS).exists() and not (run.path / BEST_WEIGHTS).exists()


def test_early_stopping_evaluates_each_epoch(photos: Path, tmp_path: Path) -> None:
    run = at_the_end(photos, tmp_path / "run", replace(SHIFTED, patience=2), fresh_statistics_steps=0)
    assert all(record.top1 is not None for record in run.metrics()) and (run.path / BEST_WEIGHTS).exists()


def test_killed_and_resumed_is_uninterrupted(photos: Path, tmp_path: Path) -> None:
    whole = at_the_end(photos, tmp_path / "whole")
    run = tmp_path / "run"
    assert forked(killing_itself("before", 9, lambda: at_the_end(photos, run))) == -signal.SIGKILL
    cs.resume(run, quiet=True)
    assert same_weights(whole.path, run) and whole.evaluation() == Run(run).evaluation()


def test_nothing_is_recomputed_where_only_the_results_are_missing(photos: Path, tmp_path: Path) -> None:
    """Not even statistics of batch norm that the last epoch left alone, since it trained the head only."""
    head, run = replace(SHIFTED, epochs=1, head_epochs=1), tmp_path / "run"

    def dying() -> None:
        trainer.write_results = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        at_the_end(photos, run, head)

    whole = at_the_end(photos, tmp_path / "whole", head)
    assert forked(dying) == -signal.SIGKILL and Run(run).result() is None
    cs.resume(run, quiet=True)
    assert same_weights(whole.path, run) and whole.evaluation() == Run(run).evaluation()


def test_an_epoch_that_becomes_the_last_one_is_evaluated(photos: Path, tmp_path: Path) -> None:
    """Though it was not, when it ended: here the recipe is cut to what has been trained."""
    run = tmp_path / "run"
    assert forked(killing_itself("before", 8, lambda: at_the_end(photos, run))) == -signal.SIGKILL
    _, evaluation = cs.resume(run, set=["epochs=2"], quiet=True)
    result = Run(run).result()
    assert result is not None and result.epochs == 2 and (result.best_epoch, result.best_top1) == (2, evaluation.top1)
    assert cs.evaluate(run, photos, quiet=True).top1 == evaluation.top1


def test_more_epochs_by_hand_are_evaluated_each(photos: Path, tmp_path: Path) -> None:
    run = at_the_end(photos, tmp_path / "run", replace(SHIFTED, epochs=1))
    more, _ = cs.resume(run.path, epochs=2, output=tmp_path / "more", quiet=True)
    assert all(record.top1 is not None for record in more.metrics())


def test_images_that_are_kept_together_are_the_same_images(tmp_path: Path) -> None:
    data, chosen = few(), replace(recipe("digits").with_changes(epochs=2), batch=16)
    kept = replace(data, train=Kept(data.train, 2**20), test=Kept(data.test, 2**20))  # type: ignore[arg-type]
    short = replace(data, train=Kept(data.train, 2**10), test=Kept(data.test, 2**10))  # type: ignore[arg-type]
    for name, one in (("plain", data), ("kept", kept), ("again", kept), ("short", short)):
        cs.train(NETWORK, one, chosen, tmp_path / name, pictures=False, quiet=True)
        assert Run(tmp_path / name).evaluation() == Run(tmp_path / "plain").evaluation()
        found, plain = tensors(tmp_path / name), tensors(tmp_path / "plain")
        assert all(torch.equal(value, plain[key]) for key, value in found.items())


def test_an_estimate_counts_one_evaluation() -> None:
    found = estimate(NETWORK, few(), replace(SHIFTED, epochs=1000), evaluate_each_epoch=False)
    assert found.seconds == found.steps * found.step_seconds + found.evaluation_seconds
