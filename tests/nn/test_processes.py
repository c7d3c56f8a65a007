"""Several processes that train or tune one network: the same numbers as one."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import convscale as cs
from convscale.cli.main import run as command_line
from convscale.data.images import Subset
from convscale.data.loader import training_batches
from convscale.errors import TrainingStopped, UnknownNameError
from convscale.evaluation.evaluator import measure
from convscale.nn.processes import Processes
from convscale.recipes import LBFGS, Recipe, SearchGrid
from convscale.runs import Run, Settings
from convscale.training import step as step_module
from convscale.training.setup import make_job, make_state
from convscale.training.step import Stepper, data_parallel
from tests.nn.several import NETWORK, PLAIN, arguments, side_by_side, state_of, telling_states

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_all_processes_end_in_the_same_state(photos: Path, whole: Path, tmp_path: Path) -> None:
    """Weights, EMA, BN statistics and slots, with dropout, drop path and a batch in parts; and again the same."""
    states = [(whole.parent / f"state-{rank}").read_text() for rank in range(2)]
    assert states == [state_of(whole)] * 2
    result = Run(whole).result()
    assert result is not None and result.processes == 2 and result.steps == 12 and Run(whole).evaluation().n == 21
    assert not list(whole.glob("**/*.tmp")) and len(Run(whole).metrics()) == 3


def double_steps(processes: Processes) -> list[dict[str, torch.Tensor]]:
    """The states after 1 and after 50 steps in double precision, nothing random in them."""
    recipe = replace(PLAIN, batch=16, learning_rate=0.01, weight_decay=1e-4, accumulation=1)
    images = cs.open_dataset("digits")
    job = make_job(NETWORK, images, recipe, Run(Path("unused")), Settings())
    state = make_state(job, processes)
    state.model.double().train()
    stepper = Stepper(job, state, 50, processes)
    stepper.normalise = lambda pixels: (pixels.double() / 255 - 0.5).contiguous(memory_format=torch.channels_last)  # type: ignore[assignment,misc]
    states = []
    for batch in training_batches(
        images.train, job.preprocessing, recipe.augmentation, 16, seed=0, epoch=0, rank=processes.rank,
        world=processes.world,
    ):  # fmt: skip
        assert stepper.take(batch).applied
        state.position.total_steps += 1
        if state.position.total_steps in (1, 50):
            states.append(state.tensors())
        if len(states) == 2:
            break
    return states


@pytest.mark.long
def test_two_processes_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision, over 50 steps of SGD with momentum: within 1e-9, BN statistics included."""
    monkeypatch.setattr(step_module, "training_loss", lambda logits, targets, *how: F.cross_entropy(logits, targets))

    def child() -> None:
        with Processes() as processes:
            torch.save(double_steps(processes), tmp_path / f"{processes.rank}.pt")

    assert side_by_side(child) == [0, 0]
    each = zip(double_steps(Processes()), *(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True)
    for (alone, first, second), allowed in zip(each, (1e-12, 1e-9), strict=True):  # rounding grows from step to step
        assert alone.keys() == first.keys() and any(name.startswith("optimizer.") for name in alone)
        for name, tensor in alone.items():
            assert torch.equal(first[name], second[name]), name
            assert tensor.dtype == torch.float64
            assert float((tensor - first[name]).abs().max()) < allowed, name


@pytest.mark.long
def test_the_losses_of_two_processes_are_those_of_one(photos: Path, tmp_path: Path) -> None:
    assert side_by_side(lambda: command_line(arguments(photos, tmp_path / "two", PLAIN))) == [0, 0]
    assert command_line(arguments(photos, tmp_path / "one", PLAIN)) == 0
    one, two = (Run(tmp_path / name).metrics() for name in ("one", "two"))
    assert len(one) == 2
    for a, b in zip(one, two, strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, abs=1e-5)
        assert b.gradient_norm == pytest.approx(a.gradient_norm, rel=1e-4)


@pytest.mark.long
def test_unreadable_images_are_counted_once(photos: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(photos, data)
    for path in sorted(data.glob("*/*"))[::15]:
        path.write_bytes(b"")
    recipe = replace(PLAIN, epochs=3, max_unreadable=0.3)
    work = telling_states(tmp_path, arguments(data, run, recipe))
    assert side_by_side(work) == [0, 0]
    result, evaluation = Run(run).result(), Run(run).evaluation()
    events = (run / "events.jsonl").read_text().count("unreadable, skipped")
    assert result is not None and result.unreadable == events
    assert result.unreadable + len(evaluation.unreadable) == 7 and evaluation.n == 21 - len(evaluation.unreadable)
    assert [(tmp_path / f"state-{rank}").read_text() for rank in range(2)] == [result.state_sha256] * 2


@pytest.mark.long
def test_an_evaluation_counts_every_image_once(tmp_path: Path) -> None:
    """Shards of unequal length, in unequal numbers of batches, are those of one process together."""
    dataset = cs.open_dataset("digits")
    images = Subset(dataset.test, np.arange(33))
    model = cs.build(NETWORK.with_classes(10), seed=0)
    preprocessing = make_job(NETWORK, dataset, PLAIN, Run(Path("unused")), Settings()).preprocessing

    def measured(processes: Processes) -> str:
        found = measure(model, images, preprocessing, dataset.classes, batch=16, processes=processes)
        assert found.confusion is not None and found.confusion.sum() == len(images) == found.evaluation.n
        return repr((found.evaluation, found.confusion.tolist()))

    def child() -> None:
        with Processes() as processes:
            (tmp_path / str(processes.rank)).write_text(measured(processes))

    assert side_by_side(child) == [0, 0]
    assert {(tmp_path / str(rank)).read_text() for rank in range(2)} == {measured(Processes())}


@pytest.mark.long
def test_what_one_tells_reaches_all() -> None:
    def child() -> int:
        with Processes() as processes:
            rank = processes.rank
            assert processes.gather([]) == [] and processes.gather([rank] * rank) == [1, 2, 2]
            assert processes.any(rank == 1) and not processes.any(False)
            assert processes.same(7) and not processes.same(rank)
            assert processes.mean(float(rank), 1 + rank) == pytest.approx(8 / 6)
            assert processes.agree(15 * (rank == 1), rank == 1) == (15, False)
            processes.remember("this")
            assert processes.remembers("this") and not processes.remembers("that")

            def work() -> None:
                if rank == 1:
                    raise UnknownNameError("network", "b9", ["b0"])

            with pytest.raises(UnknownNameError, match="unknown network 'b9'"):
                processes.fail_together(work)

            def stop() -> None:
                if rank == 2:
                    raise TrainingStopped("SIGTERM in epoch 3", signal.SIGTERM, hint="go on with it")

            with pytest.raises(TrainingStopped, match="SIGTERM in epoch 3 .go on with it") as stopped:
                processes.fail_together(stop)
            assert stopped.value.exit_code == 143
        return 0

    assert side_by_side(child, 3) == [0, 0, 0]


def test_gradients_keep_their_values_when_laid_out_anew() -> None:
    """Strides along axes of length 1 say nothing; DDP would warn of them."""
    gradient = torch.arange(6.0).view(3, 2, 1, 1)
    laid = step_module._with_strides(gradient, (2, 1, 2, 2))
    assert laid.stride() == (2, 1, 2, 2) and torch.equal(laid, gradient)
    other = torch.arange(12.0).view(3, 2, 2, 1)
    assert step_module._with_strides(other, (4, 1, 2, 2)) is other
    assert callable(data_parallel)


# Transfer learning.


TUNE = replace(
    PLAIN, epochs=3, head_epochs=1, warmup_epochs=0.5, learning_rate=0.01, layer_decay=0.5, norm_statistics="frozen"
)

SEARCH = replace(TUNE, search=SearchGrid(learning_rates=(0.003, 0.03), share=0.25))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the network on all digits."""
    run = tmp_path_factory.mktemp("before") / "run"
    recipe = replace(PLAIN, batch=32, learning_rate=0.02)
    cs.train(NETWORK, "digits", recipe, run, pictures=False, quiet=True)
    return run / "weights.safetensors"


@pytest.mark.long
@pytest.mark.parametrize(
    "recipe", [TUNE, SEARCH, replace(TUNE, epochs=8, learning_rate=0.05, patience=2, validation_share=0.25)],
    ids=["phases", "search", "patience"],
)  # fmt: skip
def test_two_processes_tune_as_one_does(photos: Path, weights: Path, tmp_path: Path, recipe: Recipe) -> None:
    """What learns changes after the first epoch, frozen statistics stay; a search and early stopping decide alike."""
    start = ("--weights", str(weights))
    assert side_by_side(telling_states(tmp_path, arguments(photos, tmp_path / "two", recipe, *start))) == [0, 0]
    assert command_line(arguments(photos, tmp_path / "one", recipe, *start)) == 0
    assert [(tmp_path / f"state-{rank}").read_text() for rank in range(2)] == [state_of(tmp_path / "two")] * 2
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    assert len(one.metrics()) == len(two.metrics()) >= 2
    for a, b in zip(one.metrics(), two.metrics(), strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, abs=1e-5) and b.top1 == a.top1
        assert b.gradient_norm == pytest.approx(a.gradient_norm, rel=1e-4)
    ours, theirs, before = (cs.load(path).state_dict() for path in (one.weights, two.weights, weights))
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], atol=1e-5), name
        assert "running" not in name or torch.equal(theirs[name], before[name]), name
    assert not torch.equal(theirs["stem.conv.norm.bias"], before["stem.conv.norm.bias"])
    rows = [[(row.learning_rate, row.accuracy, row.n) for row in run.searched()] for run in (one, two)]
    assert rows[0] == rows[1] and len(rows[0]) == len(recipe.choices()) and one.recipe() == two.recipe()
    assert one.evaluation().n == two.evaluation().n == 21


@pytest.mark.long
def test_a_search_of_two_processes_goes_on(photos: Path, weights: Path, tmp_path: Path) -> None:
    """A signal to one of them in the second training of the search saves, and both end; resumed, it ends the same."""
    words = arguments(photos, tmp_path / "run", SEARCH, "--weights", str(weights))

    def stopped() -> int:
        take, taken = Stepper.take, [0]

        def stop(self: Stepper, batch: Any) -> Any:
            taken[0] += 1
            if taken[0] == 14 and self.processes.rank == 1:
                signal.raise_signal(signal.SIGTERM)
            return take(self, batch)

        Stepper.take = stop  # type: ignore[method-assign]
        return command_line(words)

    assert side_by_side(stopped) == [128 + signal.SIGTERM] * 2
    assert len(Run(tmp_path / "run").searched()) == 1 and Run(tmp_path / "run" / "search" / "002").result() is None
    assert side_by_side(lambda: command_line(["resume", str(tmp_path / "run")])) == [0, 0]
    whole = arguments(photos, tmp_path / "whole", SEARCH, "--weights", str(weights))
    assert side_by_side(lambda: command_line(whole)) == [0, 0]
    assert state_of(tmp_path / "run") == state_of(tmp_path / "whole")


@pytest.mark.long
def test_a_linear_probe_is_of_one_process(
    photos: Path, weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(PLAIN, epochs=1, learning_rate=1, weight_decay=0.01, trainable="head", optimizer=LBFGS())
    words = arguments(photos, tmp_path / "run", recipe, "--weights", str(weights))
    assert side_by_side(lambda: command_line(words)) == [2, 2]
    assert capfd.readouterr().err.count("error: a linear probe runs in one process") == 2
    assert not (tmp_path / "run").exists()
