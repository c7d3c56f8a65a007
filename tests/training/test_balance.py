"""Class weights and balanced sampling: the loss by hand, the same end after a kill, and nothing else moved."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import convscale as cs
from convscale.cli import main as cli_main
from convscale.data.balance import balanced_weights
from convscale.data.images import StreamItem
from convscale.errors import ConfigError, DataError
from convscale.evaluation.feature_extraction import Extracted
from convscale.recipes import Recipe
from convscale.runs import Run
from convscale.schema import to_table
from convscale.training.probe import fit_classifier
from convscale.training.step import training_loss
from convscale.trials.trial import Trial
from tests.nn.several import arguments, side_by_side
from tests.training.small_runs import LIVELY, NETWORK, PROBE, few, forked, killing_itself, state_of, trained

BALANCED = replace(LIVELY, class_weights="balanced", sampling="balanced")
PLAIN = Recipe(note="a test", epochs=1, batch=16, learning_rate=0.02)


@pytest.fixture(scope="module")
def unequal(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30, 12 and 5 images of three classes."""
    folder = tmp_path_factory.mktemp("unequal") / "photos"
    for name, count in (("0", 30), ("1", 12), ("2", 5)):
        (folder / name).mkdir(parents=True)
        for path in sorted((photos / name).iterdir())[:count]:
            shutil.copyfile(path, folder / name / path.name)
    return folder


def test_the_loss_weighs_every_image_by_its_label() -> None:
    logits, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 1, 2, 0])
    weights = torch.tensor([0.5, 2.0, 3.0])
    each = F.cross_entropy(logits, labels, reduction="none") * weights[labels]
    torch.testing.assert_close(training_loss(logits, labels, 0.0, weights), each.mean())
    parts = [training_loss(logits[part], labels[part], 0.1, weights) for part in (slice(2), slice(2, 6))]
    torch.testing.assert_close(training_loss(logits, labels, 0.1, weights), parts[0] / 3 + parts[1] * 2 / 3)
    smoothed = F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1) * weights[labels]
    torch.testing.assert_close(training_loss(logits, labels, 0.1, weights), smoothed.mean())


def test_mixed_labels_are_weighed_by_their_shares() -> None:
    logits, soft = torch.tensor([[1.0, -1.0, 0.3]]), torch.tensor([[0.3, 0.0, 0.7]])
    weights, ones = torch.tensor([0.5, 2.0, 3.0]), torch.ones(3)
    log = logits.log_softmax(1)[0]
    torch.testing.assert_close(training_loss(logits, soft, 0.0, weights), -(0.15 * log[0] + 2.1 * log[2]))
    spread = 0.1 * 2.25 / 3
    smoothed = torch.tensor([0.9 * 0.15 + spread, spread, 0.9 * 2.1 + spread])
    torch.testing.assert_close(training_loss(logits, soft, 0.1, weights), -(smoothed * log).sum())
    for targets in (soft, torch.tensor([2])):
        torch.testing.assert_close(training_loss(logits, targets, 0.1, ones), training_loss(logits, targets, 0.1))


def test_a_rare_class_is_not_what_smoothing_teaches() -> None:
    """Of 200 images beside 2, all smoothed: the best constant answer for a common image is still its own class."""
    weights = torch.from_numpy(balanced_weights(np.repeat([0, 1], [200, 2]), 2))
    answers = [training_loss(torch.tensor([[a, -a]]), torch.tensor([0]), 0.1, weights) for a in (-1.0, 0.0, 1.0)]
    assert answers[2] < answers[1] < answers[0]


@pytest.mark.long
@pytest.mark.parametrize(("at", "when", "workers"), [(1, "after", 2), (2, "before", 0), (4, "after", 0)])
def test_killed_and_resumed_is_uninterrupted(
    unequal: Path, balanced: Path, tmp_path: Path, at: int, when: str, workers: int
) -> None:
    run = tmp_path / "run"
    work = killing_itself(when, at, lambda: trained(unequal, run, BALANCED, workers=workers, checkpoint_seconds=0))
    assert forked(work) == -signal.SIGKILL and Run(run).result() is None
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(balanced)


@pytest.fixture(scope="module")
def balanced(unequal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("balanced") / "run"
    trained(unequal, run, BALANCED)
    return run


def test_both_change_the_training_and_neither_its_length(unequal: Path, balanced: Path, tmp_path: Path) -> None:
    states = {state_of(balanced)}
    for name in ("class_weights", "sampling"):
        trained(unequal, tmp_path / name, replace(LIVELY, **{name: "balanced"}))
        states.add(state_of(tmp_path / name))
    trained(unequal, tmp_path / "neither")
    assert len(states | {state_of(tmp_path / "neither")}) == 4
    results = [Run(path).result() for path in (balanced, tmp_path / "neither")]
    assert [one.steps for one in results if one] == [6, 6]  # 38 images, 16 a step, 3 epochs
    assert Run(balanced).recipe().sampling == Run(balanced).recipe().class_weights == "balanced"


@pytest.mark.long
def test_two_processes_see_what_one_sees(unequal: Path, tmp_path: Path) -> None:
    recipe = replace(PLAIN, epochs=2, learning_rate=0.001, class_weights="balanced", sampling="balanced")
    split = replace(recipe, accumulation=2)
    assert side_by_side(lambda: cli_main.run(arguments(unequal, tmp_path / "two", recipe))) == [0, 0]
    for name, one in (("one", recipe), ("parts", split)):
        assert cli_main.run(arguments(unequal, tmp_path / name, one)) == 0
    losses = [[record.train_loss for record in Run(tmp_path / name).metrics()] for name in ("one", "two", "parts")]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert losses[2] == pytest.approx(losses[0], rel=0.2)  # batch norm sees the parts


def test_the_command_takes_them_and_accuracy_is_counted_plainly(
    unequal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["train", "small-mbconv", "--resolution", "8", "--data", str(unequal), "--epochs", "1", "--batch", "16",
             "--no-pictures", "--set", "class_weights=balanced", "--set", "sampling=balanced"]  # fmt: skip
    assert cli_main.run([*words, "--dry-run"]) == 0
    assert "steps      2 (2 per epoch) of 16 images" in capsys.readouterr().out
    assert cli_main.run([*words, "-o", str(run)]) == 0
    changed = "class_weights none -> balanced; sampling shuffled -> balanced"
    assert changed in capsys.readouterr().err
    evaluation = cs.evaluate(run, unequal, quiet=True)
    assert evaluation.n == 9 and evaluation.top1 == Run(run).evaluation().top1
    assert cli_main.run([*words[:-1], "sampling=rare", "-o", str(tmp_path / "x")]) == 2
    assert "'rare' is not allowed" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_sampling_stays_once_a_run_has_begun(unequal: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert forked(killing_itself("after", 1, lambda: trained(unequal, run, checkpoint_seconds=0))) == -signal.SIGKILL
    with pytest.raises(ConfigError, match="sampling cannot change"):
        cs.resume(run, set=["sampling=balanced"], quiet=True)
    cs.resume(run, set=["class_weights=balanced"], quiet=True)
    assert Run(run).recipe().class_weights == "balanced"


def test_a_probe_weighs_its_classes() -> None:
    """One image to nine of the other class, alike but for noise: unweighted it is never found."""
    noise = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1] * 20 + [0] * 180)
    images = Extracted(noise + labels[:, None] * 0.3, labels)
    found = []
    for recipe in (PROBE, replace(PROBE, class_weights="balanced")):
        fitted = fit_classifier(images, 2, recipe)
        found.append(int((F.linear(images.features, fitted.weight, fitted.bias).argmax(1) == 1)[labels == 1].sum()))
    assert found[0] <= 2 and found[1] >= 10
    with pytest.raises(ConfigError, match="sampling 'balanced' cannot be combined with optimizer.type lbfgs"):
        replace(PROBE, sampling="balanced")


class Streamed:
    """A stream of nothing."""

    classes = ("a", "b")

    def __len__(self) -> int:
        return 64

    def length(self, rank: int = 0, world: int = 1) -> int:
        return 64

    def read(self, *_: object) -> list[StreamItem]:
        return []

    def state_at(self, position: int) -> dict[str, object]:
        return {}


@pytest.mark.parametrize("name", ["sampling", "class_weights"])
def test_a_stream_is_refused(name: str, tmp_path: Path) -> None:
    data = replace(few(), train=Streamed(), classes=("a", "b"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"{name} 'balanced' needs the labels of all images") as raised:
        cs.train(NETWORK, data, replace(PLAIN, **{name: "balanced"}), tmp_path / "run", quiet=True)
    assert f"leave {name} out" in str(raised.value.hint) and not (tmp_path / "run").exists()


def test_what_is_neutral_leaves_the_keys_of_trials_alone() -> None:
    trial = Trial(network=NETWORK, recipe=PLAIN, data=cs.DataChoice(source="digits"), seed=0)
    assert trial.key == "b20a452b50b9a287"  # as before there were these fields
    for name in ("sampling", "class_weights"):
        assert replace(trial, recipe=replace(PLAIN, **{name: "balanced"})).key != trial.key
    assert "sampling" not in to_table(PLAIN) and "class_weights" not in to_table(PLAIN)
