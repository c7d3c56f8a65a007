"""The search for learning rate and weight decay before a training: its size, its choice, its interruptions."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.errors import ConfigError, DataError, RunError, TrainingError, TrainingStopped
from convscale.recipes import Recipe, SearchGrid
from convscale.runs import Run
from convscale.training.step import Stepper
from tests.images import digit_photos
from tests.training.small_runs import NETWORK, PROBE, TUNE, few, state_of, tuned


def searching(**changes: Any) -> Recipe:
    rates = SearchGrid(learning_rates=(1e-5, 0.1), weight_decays=(0.0, 1e-4), share=0.25)
    return replace(TUNE, **({"epochs": 2, "warmup_epochs": 0, "search": rates} | changes))


def test_a_search_of_any_size() -> None:
    recipe = replace(TUNE, learning_rate=0.01, weight_decay=1e-4)
    assert recipe.choices() == [] and not recipe.search
    sized = recipe.searching(3, 2)
    assert sized.search.learning_rates == (0.00316, 0.01, 0.0316) and sized.search.weight_decays == (1e-4, 3.16e-4)
    assert [(c.learning_rate, c.weight_decay) for c in sized.choices()][:3] == [
        (0.00316, 1e-4), (0.00316, 3.16e-4), (0.01, 1e-4),
    ]  # fmt: skip
    assert recipe.searching(2, 1).choices()[0].weight_decay == 1e-4 and recipe.searching(1, 1) == recipe
    thinned = cs.recipe("kornblith").searching(3, 2).search
    assert thinned.learning_rates == (1e-4, 3.16e-3, 0.1) and thinned.weight_decays == (0, 1e-3)
    assert cs.recipe("kornblith").searching(1, 1).choices() == []
    # What is searched follows the batch as the learning rate does, where few images make it smaller too.
    assert replace(sized, batch=64).for_images(32).search.learning_rates == (0.00158, 0.005, 0.0158)
    assert sized.with_changes(batch=32, learning_rate=0.5).search == sized.search
    assert len(cs.recipe("linear-probe").searching(5, 3).choices()) == 3  # a probe has no learning rates
    with pytest.raises(ConfigError, match="weight decays to try 0"):
        recipe.searching(1, 0)


@pytest.mark.long
def test_the_search_chooses_on_training_images(weights: Path, searched: Path, tmp_path: Path) -> None:
    run = Run(searched)
    rows = run.searched()
    assert [(row.learning_rate, row.weight_decay) for row in rows] == [(1e-5, 0), (1e-5, 1e-4), (0.1, 0), (0.1, 1e-4)]
    assert {row.n for row in rows} == {30} and all(row.seconds > 0 for row in rows)  # a quarter of 120
    chosen = run.recipe()
    best = max(row.accuracy or 0 for row in rows)
    first = next(row for row in rows if row.accuracy == best)
    assert (chosen.learning_rate, chosen.weight_decay) == (first.learning_rate, first.weight_decay) == (0.1, 0)
    assert not chosen.search
    assert not list((run.path / "search").glob("*/*.safetensors")) and run.weights.exists()
    trial = Run(run.path / "search" / "003")
    record = trial.data()
    assert record is not None and (record.train_images, record.test_images) == (90, 30)
    assert [epoch.top1 is None for epoch in trial.metrics()] == [True, False]  # judged at the end alone
    assert all(epoch.top1 is not None for epoch in run.metrics())
    # What follows is the training that the chosen values alone would have given.
    tuned(weights, tmp_path / "plain", replace(searching(search=SearchGrid()), learning_rate=0.1, weight_decay=0.0))
    assert state_of(run.path) == state_of(tmp_path / "plain")


@pytest.fixture(scope="module")
def searched(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The search that nothing interrupted."""
    run = tmp_path_factory.mktemp("searched") / "run"
    tuned(weights, run, searching())
    return run


@pytest.mark.parametrize("steps", [3, 20, 45])
def test_an_interrupted_search_goes_on(
    steps: int, weights: Path, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its first training, in a later one, in the training after it: the same result."""
    take, taken = Stepper.take, [0]

    def stop(self: Stepper, batch: Any) -> Any:
        taken[0] += 1
        if taken[0] == steps:
            signal.raise_signal(signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", stop)
    with pytest.raises(TrainingStopped, match=f"convscale resume {tmp_path / 'run'}"):
        tuned(weights, tmp_path / "run", searching())
    if steps < 45:
        with pytest.raises(ConfigError, match="its search is not done"):
            cs.resume(tmp_path / "run", data=few(), changes=["learning_rate=0.1"], quiet=True)
    cs.resume(tmp_path / "run", data=few(), quiet=True)
    rows = [Run(path).searched() for path in (tmp_path / "run", searched)]
    assert [row.accuracy for row in rows[0]] == [row.accuracy for row in rows[1]]
    assert state_of(tmp_path / "run") == state_of(searched)


def test_a_search_goes_on_from_the_same_weights_only(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, take = tmp_path / "mine.safetensors", Stepper.take
    mine.write_bytes(weights.read_bytes())

    def stop(self: Stepper, batch: Any) -> Any:
        if self.state.position.total_steps == 3:
            signal.raise_signal(signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", stop)
    with pytest.raises(TrainingStopped):
        tuned(mine, tmp_path / "run", searching())
    monkeypatch.undo()
    mine.unlink()
    with pytest.raises(RunError, match="no such run folder or weights file.*restore the original"):
        cs.resume(tmp_path / "run", data=few(), quiet=True)
    model, header = cs.load_weights(weights)
    with torch.no_grad():
        next(model.parameters()).mul_(1.1)
    cs.save_weights(mine, model, header)
    with pytest.raises(RunError, match="not the weights that the run began with"):
        cs.resume(tmp_path / "run", data=few(), quiet=True)
    assert (tmp_path / "run" / "search" / "001").is_dir()
    mine.write_bytes(weights.read_bytes())
    cs.resume(tmp_path / "run", data=few(), quiet=True)


def test_a_choice_that_diverges_loses(weights: Path, tmp_path: Path) -> None:
    wild = SearchGrid(learning_rates=(900.0, 0.02), share=0.25)
    tuned(weights, tmp_path / "run", searching(search=wild, gradient_clip=0.0, norm_statistics="batch"))
    first, second = Run(tmp_path / "run").searched()
    assert first.accuracy is None and "not finite" not in second.failure and second.accuracy is not None
    assert "at learning rate" in first.failure and Run(tmp_path / "run").recipe().learning_rate == 0.02
    with pytest.raises(TrainingError, match="all 1 trainings of the search failed.*smaller learning rates"):
        tuned(weights, tmp_path / "no", searching(search=SearchGrid(learning_rates=(900.0,)), gradient_clip=0.0))


def test_what_was_done_is_kept_where_the_data_fails(weights: Path, tmp_path: Path) -> None:
    """Features that were computed are not thrown away with a message that says how to go on."""
    (tmp_path / "photos").mkdir()
    photos = digit_photos(tmp_path / "photos", 30)
    for broken in sorted((photos / "0").iterdir())[:8]:
        broken.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read"):
        cs.train(NETWORK, photos, PROBE, tmp_path / "run", pictures=False, quiet=True, weights=str(weights))
    assert list((tmp_path / "run" / "features").iterdir())
    with pytest.raises(DataError, match="a search holds out 25% of the 5 training images: class .* has a single image"):
        tuned(weights, tmp_path / "few", searching(), few(5, 5))
    assert not (tmp_path / "few").exists()


def test_an_estimate_counts_the_search(weights: Path) -> None:
    from convscale.training import estimate

    plain = estimate(NETWORK, few(), searching(search=SearchGrid()), weights=str(weights))
    four = estimate(NETWORK, few(), searching(), weights=str(weights))
    steps, evaluation = four.steps * four.step_seconds, four.evaluation_seconds
    assert four.steps == plain.steps
    assert four.seconds == pytest.approx(steps + 2 * evaluation + 4 * (0.75 * steps + evaluation))
    probe = estimate(NETWORK, few(), PROBE, weights=str(weights))
    assert probe.seconds > 0 and probe.steps == 7


def test_a_stream_cannot_be_searched(weights: Path, tmp_path: Path) -> None:
    class Flow:
        classes = ("a", "b")

        def __len__(self) -> int:
            return 8

        def length(self, rank: int = 0, world: int = 1) -> int:
            return 8

        def read(self, *args: Any, **kwargs: Any) -> Any:
            return iter(())

        def state_at(self, position: int) -> dict[str, Any]:
            return {}

    data = replace(few(classes=2), train=Flow())
    for recipe in (replace(TUNE, patience=1), searching()):
        with pytest.raises(DataError, match="which a stream does not allow"):
            tuned(weights, tmp_path / "run", recipe, data)
