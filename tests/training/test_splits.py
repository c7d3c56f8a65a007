"""Three splits have three uses: train trains, validation judges epochs and choices, test is looked at once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convscale as cs
from convscale.errors import DataError
from convscale.recipes import LBFGS, Recipe, SearchGrid
from convscale.records import TrainRecord
from convscale.runs import Run
from convscale.training.loop import Loop
from convscale.training.resuming import same_data
from tests.cli.calling import run_json

NET = replace(cs.network("small-resnet"), resolution=8, input_channels=1, num_classes=2)
QUICK = Recipe(note="a test", epochs=3, batch=20, learning_rate=0.05)
COUNTS = {"train": 60, "valid": 20, "test": 16}


def split_digits(folder: Path, splits: tuple[str, ...] = ("train", "valid", "test")) -> Path:
    """Zeros and ones in splits; in the test split they have each other's labels, which shows where it counts."""
    digits = cs.open_dataset("digits").train
    found = [np.flatnonzero(digits.labels == label) for label in (0, 1)]
    start = 0
    for split in splits:
        count = COUNTS[split] // 2
        for label in (0, 1):
            place = folder / split / str(1 - label if split == "test" else label)
            place.mkdir(parents=True)
            for index in found[label][start : start + count]:
                digits.image(int(index)).save(place / f"{index}.png")
        start += count
    return folder


def result_of(run: Run) -> TrainRecord:
    result = run.result()
    assert result is not None
    return result


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_digits(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return cs.train(NET, data, QUICK, tmp_path_factory.mktemp("trained") / "run", pictures=False, quiet=True)[0]


def test_a_data_set_keeps_its_three_splits(data: Path) -> None:
    dataset = cs.open_dataset(data)
    assert dataset.validation is not None and dataset.held_out == "test"
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (60, 20, 16)
    record = dataset.record()
    assert (record.train_images, record.validation_images, record.test_images) == (60, 20, 16)
    assert "20" in repr(dataset)


def test_epochs_go_by_validation_and_the_end_by_test(trained: Run) -> None:
    result, story = result_of(trained), trained.story()
    assert result.validation_top1 == trained.metrics()[-1].top1 > 0.9
    assert result.best_top1 == max(record.top1 for record in trained.metrics())
    assert result.test_top1 == result.top1 == trained.evaluation().top1 < 0.1 and trained.evaluation().n == 16
    assert story is not None
    decision = story.decision("validation images")
    assert decision is not None and decision.choice == "20: the validation split"


def test_test_is_looked_at_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, real = [], Loop._evaluate

    def spy(self: Loop, images: Any) -> Any:
        looked.append(len(images))
        return real(self, images)

    monkeypatch.setattr(Loop, "_evaluate", spy)
    cs.train(NET, data, QUICK, tmp_path / "run", pictures=False, quiet=True)
    assert looked == [20, 20, 20, 16]


def test_early_stopping_and_a_search_take_no_training_images(data: Path, tmp_path: Path) -> None:
    recipe = replace(QUICK, patience=2, epochs=4, search=SearchGrid(learning_rates=(1e-6, 0.05)))
    run, evaluation = cs.train(NET, data, recipe, tmp_path / "run", pictures=False, quiet=True)
    rows, result = run.searched(), result_of(run)
    assert {row.n for row in rows} == {20} and run.recipe().learning_rate == 0.05
    assert rows[1].accuracy is not None and rows[1].accuracy > 0.9
    assert result.validation_top1 == result.best_top1 > 0.9 and result.test_top1 == evaluation.top1 < 0.1
    assert result.steps == 3 * result.epochs and evaluation.n == 16  # steps of 20 images: all 60 are trained on


def test_a_probe_chooses_by_validation(data: Path, trained: Run, tmp_path: Path) -> None:
    probe = Recipe(
        note="a test", epochs=1, batch=16, learning_rate=1, weight_decay=0.01, trainable="head", optimizer=LBFGS(),
        search=SearchGrid(weight_decays=(1, 0.01)),
    )  # fmt: skip
    run, evaluation = cs.train(
        NET, data, probe, tmp_path / "run", weights=str(trained.weights), pictures=False, quiet=True
    )
    result = result_of(run)
    assert {row.n for row in run.searched()} == {20} and evaluation.n == 16
    assert result.validation_top1 == run.metrics()[0].top1 > 0.9 and result.test_top1 == evaluation.top1 < 0.1


def test_eval_reaches_every_split(data: Path, trained: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of(trained)
    wanted = {(): (16, result.test_top1), ("--split", "test"): (16, result.test_top1)}
    wanted |= {("--split", "validation"): (20, result.validation_top1), ("--split", "train"): (60, None)}
    for words, (images, top1) in wanted.items():
        found = run_json(capsys, "eval", trained.path, "--data", data, *words)
        assert found["n"] == images and (top1 is None or found["top1"] == top1)
    with pytest.raises(DataError, match="no splits"):
        cs.evaluate(trained.path, data / "valid", split="validation", quiet=True)


def test_eval_leaves_out_what_the_run_left_out(data: Path, tmp_path: Path) -> None:
    dataset = cs.open_dataset(data, exclude={"test": [0, 1, 2]})
    run, evaluation = cs.train(NET, dataset, QUICK, tmp_path / "run", pictures=False, quiet=True)
    again = cs.evaluate(run.path, data, quiet=True)
    assert again.n == evaluation.n == 13 and again.top1 == evaluation.top1


@pytest.mark.parametrize("second", ["valid", "test"])
def test_of_two_splits_the_second_is_held_out(tmp_path: Path, second: str) -> None:
    data = split_digits(tmp_path / "data", ("train", second))
    dataset = cs.open_dataset(data)
    assert dataset.validation is None and len(dataset.test) == COUNTS[second]
    run, evaluation = cs.train(NET, dataset, QUICK, tmp_path / "run", pictures=False, quiet=True)
    result = result_of(run)
    assert result.validation_top1 is None and result.test_top1 == evaluation.top1 == run.metrics()[-1].top1
    assert cs.evaluate(run.path, data, quiet=True).top1 == evaluation.top1


def test_a_run_from_before_goes_on_without_its_validation_split(data: Path, trained: Run, tmp_path: Path) -> None:
    before = Run(tmp_path / "run")
    shutil.copytree(trained.path, before.path)
    fingerprint = replace(cs.open_dataset(data), validation=None).record().fingerprint
    kept = json.loads((before.path / "data.json").read_text()) | {"fingerprint": fingerprint}
    del kept["validation_images"]
    (before.path / "data.json").write_text(json.dumps(kept))
    assert same_data(before, None).validation is None
    assert same_data(trained, None).validation is not None


def test_the_sets_own_metric_chooses_the_best_epoch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mean per class .7, .4, .5 and top-1 .6, .8, .7 of three epochs: the first is best."""
    figures = iter([(0.6, 0.7), (0.8, 0.4), (0.7, 0.5), (0.5, 0.5)])
    real = Loop._evaluate

    def planted(self: Loop, images: Any) -> Any:
        measured = real(self, images)
        top1, mean = next(figures)
        return measured._replace(evaluation=replace(measured.evaluation, top1=top1, mean_per_class=mean))

    monkeypatch.setattr(Loop, "_evaluate", planted)
    dataset = replace(cs.open_dataset(data), metric="mean_per_class")
    run, _ = cs.train(
        NET,
        dataset,
        replace(QUICK, epochs=9, patience=2),
        tmp_path / "run",
        fresh_statistics_steps=0,
        pictures=False,
        quiet=True,
    )
    result = result_of(run)
    assert (result.best_epoch, result.best_top1, result.epochs) == (1, 0.6, 3)
    assert [record.mean_per_class for record in run.metrics()] == [0.7, 0.4, 0.5]
