"""What a step does with losses that are not finite, images that cannot be read, and a batch in parts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.data.loader import training_batches
from convscale.errors import DataError, TrainingError
from convscale.nn.processes import Processes
from convscale.recipes import SGD, Augmentation
from convscale.runs import Run, Settings
from convscale.training import step as step_module
from convscale.training.checkpoint import load_newest
from convscale.training.setup import make_job, make_state
from convscale.training.step import Stepper
from tests.images import bomb
from tests.training.small_runs import FULL, LIVELY, NETWORK, state_of, trained

# Losses that are not finite.


class Poisoned:
    """A loss that is not finite at some steps."""

    def __init__(self, steps: set[int], value: float, *, gradient: bool = False) -> None:
        self.steps, self.value, self.gradient, self.calls = steps, value, gradient, 0
        self.real = step_module.training_loss

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor, *how: Any) -> torch.Tensor:
        loss = self.real(logits, targets, *how)
        bad = self.calls in self.steps
        self.calls += 1
        if bad and self.gradient:
            logits.register_hook(lambda gradient: gradient * self.value)
            return loss
        return loss * self.value if bad else loss


PLAIN = replace(LIVELY, accumulation=1)


@pytest.fixture(scope="module")
def plain(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The state that PLAIN ends in."""
    run = tmp_path_factory.mktemp("plain") / "run"
    trained(photos, run, PLAIN)
    return state_of(run)


@pytest.mark.long
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [3, 7, 11] if FULL else [0, 11])
def test_a_loss_that_is_not_finite_stops(
    photos: Path, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, value: float, gradient: bool
) -> None:
    """FAULTS 12: noticed in that very step; the state before it is kept, and training can go on from it."""
    poisoned = Poisoned({at}, value, gradient=gradient)
    monkeypatch.setattr(step_module, "training_loss", poisoned)
    with pytest.raises(TrainingError, match=rf"in step {at + 1} \(epoch .*learning rate .*resume") as caught:
        trained(photos, tmp_path / "run", PLAIN)
    assert "gradient norm" in caught.value.message and poisoned.calls == at + 1
    monkeypatch.undo()
    cs.resume(tmp_path / "run", quiet=True)  # nothing bad was taken over
    assert state_of(tmp_path / "run") == plain


def test_a_recipe_can_be_changed_to_go_on(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module, "training_loss", Poisoned({6}, float("nan")))
    with pytest.raises(TrainingError, match="resume .* --set"):
        trained(photos, tmp_path / "run", PLAIN)
    monkeypatch.undo()
    cs.resume(tmp_path / "run", changes=["learning_rate=0.001"], quiet=True)
    assert Run(tmp_path / "run").recipe().learning_rate == 0.001
    assert "learning_rate 0.02 -> 0.001" in (tmp_path / "run" / "events.jsonl").read_text()


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_step_that_is_not_finite_can_be_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    monkeypatch.setattr(step_module, "training_loss", Poisoned({5}, float("nan")))
    trained(photos, tmp_path / "run", replace(PLAIN, on_nonfinite=policy))
    cs.load_weights(tmp_path / "run" / "weights.safetensors")  # refuses NaN
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert "not finite: loss nan" in events and json.loads(events.splitlines()[0])["policy"] == policy
    monkeypatch.setattr(step_module, "training_loss", Poisoned(set(range(1, 99)), float("nan")))
    said = "after 3 rollbacks" if policy == "rollback" else "skipped in a row"
    with pytest.raises(TrainingError, match=said):
        trained(photos, tmp_path / "other", replace(PLAIN, on_nonfinite=policy, epochs=6))


def test_statistics_that_overflow_are_noticed(photos: Path, tmp_path: Path) -> None:
    """FAULTS 12: the loss of the step may still be finite; no checkpoint takes the overflow over."""
    wild = replace(PLAIN, learning_rate=1000.0, warmup_epochs=0.0, gradient_clip=0.0, epochs=20, optimizer=SGD(0.9))
    with pytest.raises(TrainingError, match="resume"):
        trained(photos, tmp_path / "run", wild)
    found = load_newest(tmp_path / "run" / "checkpoints")
    assert found is not None and all(bool(tensor.isfinite().all()) for tensor in found.tensors.values())


# Unreadable images.


@pytest.mark.long
def test_unreadable_images_are_skipped_up_to_a_share(photos: Path, tmp_path: Path) -> None:
    """FAULTS 10 and 11, in training: counted, listed, user files as they were."""
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    bad = {
        data / "0" / "empty.png": b"",
        data / "1" / "text.jpg": b"<html>no</html>",
        data / "2" / "bomb.png": bomb(20_000),
    }
    for path, content in bad.items():
        path.write_bytes(content)
    before = {path: path.read_bytes() for path in data.glob("*/*")}
    recipe = replace(PLAIN, max_unreadable=0.1, epochs=4)
    for workers in (0, 2):
        run, evaluation = cs.train(
            NETWORK, data, recipe, tmp_path / f"run{workers}", pictures=False, quiet=True, workers=workers
        )
        record = run.result()
        assert record is not None
        listed = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
        assert record.unreadable + len(evaluation.unreadable) == 3 == len(listed) + len(evaluation.unreadable)
        assert {Path(event["image"]) for event in listed} <= set(bad)
    assert state_of(tmp_path / "run0") == state_of(tmp_path / "run2")
    assert {path: path.read_bytes() for path in data.glob("*/*")} == before
    with pytest.raises(DataError, match=r"of 75 training images cannot be read, more than 1.0%.*data check"):
        cs.train(NETWORK, data, replace(recipe, max_unreadable=0.01), tmp_path / "strict", pictures=False, quiet=True)
    assert not (tmp_path / "strict").exists()


def test_a_batch_of_which_nothing_can_be_read_is_left_out(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    for path in sorted((data / "0").iterdir())[:12]:
        path.write_bytes(b"nothing")
    recipe = replace(PLAIN, batch=2, max_unreadable=0.3, epochs=2)
    run, _ = cs.train(NETWORK, data, recipe, tmp_path / "run", pictures=False, quiet=True, seed=3)
    record = run.result()
    assert record is not None and record.steps == 72 and record.unreadable > 5
    assert "no image of a batch could be read" in (run.path / "events.jsonl").read_text()


# A batch in parts.


def test_parts_of_a_batch_count_by_their_images(photos: Path) -> None:
    """Ten images in three parts: the gradient is that of the mean loss over the ten, each part normalised by itself."""
    still = replace(LIVELY, batch=10, accumulation=3, dropout=0.0, drop_path=0.0, augmentation=Augmentation())
    dataset = cs.open_dataset(photos, seed=3)
    job = make_job(NETWORK, dataset, still, Run(Path("unused")), Settings(seed=3))
    state = make_state(job, Processes())
    stepper = Stepper(job, state, 7, Processes())
    batch = next(training_batches(dataset.train, job.preprocessing, still.augmentation, 10, seed=3, epoch=0))
    state.model.train()
    pixels = stepper.normalise(batch.pixels)
    total = sum(
        step_module.training_loss(state.model(part), labels, 0.1) * len(part) / 10
        for part, labels in zip(pixels.tensor_split(3), batch.labels.tensor_split(3), strict=True)
    )
    wanted = torch.autograd.grad(total, list(state.model.parameters()))  # type: ignore[arg-type]
    stepper.seconds = {"forward": 0.0, "backward": 0.0}
    stepper._gradients(pixels, batch.labels, [])
    for parameter, gradient in zip(state.model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
