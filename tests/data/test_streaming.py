"""Training on data sets of Hugging Face `datasets`, read as they are or as streams, from local copies."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.data.images import Stream
from convscale.data.loader import evaluation_batches, training_batches
from convscale.errors import DataError
from convscale.preprocessing import default_preprocessing
from convscale.recipes import Augmentation, Recipe
from convscale.records import DataChoice
from convscale.runs import Run
from convscale.trials.training_work import fingerprint_of
from tests.training.small_runs import forked, killing_itself

TINY = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
QUICK = Recipe(
    note="a test", epochs=2, batch=32, learning_rate=0.05, ema_decay=0.99, augmentation=Augmentation("shift")
)
GREY = default_preprocessing(8, 1)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 digits to train on in three files, 60 to test on."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("parquet")
    digits = cs.open_dataset("digits")
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(digits.classes)))
    for split, images, files, count in (("train", digits.train, 3, 100), ("test", digits.test, 1, 60)):
        for number in range(files):
            indices = range(number * count, (number + 1) * count)
            rows = {"image": [images.image(i) for i in indices], "label": [int(images.labels[i]) for i in indices]}  # type: ignore[union-attr]
            part = datasets.Dataset.from_dict(rows, features=kinds)
            part.to_parquet(folder / f"{split}-{number:05d}-of-{files:05d}.parquet")
    return folder


def record_of(run: Path) -> Any:
    record = Run(run).result()
    assert record is not None
    return record


@pytest.mark.long
def test_training_on_a_stream_resumes_exactly(parquet: Path, tmp_path: Path) -> None:
    """FAULTS 4 on a stream: killed in the second epoch, the same bits at the end, with workers or without."""
    spec = f"hf-stream:{parquet}"
    cs.train(TINY, spec, QUICK, tmp_path / "whole", pictures=False, quiet=True)
    assert record_of(tmp_path / "whole").steps == 18 and record_of(tmp_path / "whole").top1 > 0.1
    for at, workers in ((4, 0), (13, 2)):
        run = tmp_path / f"run{at}"
        child = killing_itself(
            "after",
            at,
            lambda run=run, w=workers: cs.train(
                TINY, spec, QUICK, run, pictures=False, quiet=True, workers=w, checkpoint_seconds=0.0
            ),  # type: ignore[misc]
        )
        assert forked(child) == -signal.SIGKILL
        cs.resume(run, quiet=True)
        assert record_of(run).state_sha256 == record_of(tmp_path / "whole").state_sha256
    evaluation = cs.evaluate(tmp_path / "whole", spec, quiet=True)
    assert evaluation.n == 60 and evaluation.top1 == record_of(tmp_path / "whole").top1


def test_a_hub_data_set_trains_as_its_files_do(parquet: Path, tmp_path: Path) -> None:
    for name, data in (("files", parquet), ("hub", f"hf:{parquet}")):
        cs.train(TINY, data, QUICK, tmp_path / name, pictures=False, quiet=True)
    assert record_of(tmp_path / "files").state_sha256 == record_of(tmp_path / "hub").state_sha256
    assert Run(tmp_path / "hub").data().source == f"hf:{parquet}"  # type: ignore[union-attr]


def test_trials_on_a_stream_are_known_by_its_source(parquet: Path) -> None:
    assert fingerprint_of(DataChoice(source=f"hf-stream:{parquet}")) == ""


def test_batches_of_a_stream_start_anywhere(parquet: Path) -> None:
    stream = cs.open_dataset(f"hf-stream:{parquet}").train
    assert isinstance(stream, Stream) and len(stream) == 300
    whole = list(training_batches(stream, GREY, QUICK.augmentation, 32, seed=1, epoch=0))
    assert len(whole) == 9
    state = stream.state_at(5 * 32)
    for start, kept in ((5, None), (5, state), (8, state)):
        rest = list(training_batches(stream, GREY, QUICK.augmentation, 32, seed=1, epoch=0, start=start, state=kept))
        assert len(rest) == 9 - start
        assert all(
            a.pixels.equal(b.pixels) and a.labels.equal(b.labels) for a, b in zip(whole[start:], rest, strict=True)
        )
    parts = [
        list(training_batches(stream, GREY, Augmentation(), 30, seed=1, epoch=0, rank=rank, world=3))
        for rank in range(3)
    ]
    assert [len(part) for part in parts] == [10, 10, 10] and all(len(b.labels) == 10 for part in parts for b in part)
    shown = {tuple(image.flatten().tolist()) for part in parts for batch in part for image in batch.pixels}
    in_order = list(evaluation_batches(stream, GREY, 100))
    assert shown == {tuple(image.flatten().tolist()) for batch in in_order for image in batch.pixels}


def test_streams_that_cannot_be_trained_on(parquet: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("x\n")
    with pytest.raises(DataError, match="cannot be left out by name"):
        cs.open_dataset(f"hf-stream:{parquet}", exclude=tmp_path / "list.txt")
    (tmp_path / "only").mkdir()
    os.link(parquet / "train-00000-of-00003.parquet", tmp_path / "only" / "train.parquet")
    with pytest.raises(DataError, match="a stream needs train and test"):
        cs.open_dataset(f"hf-stream:{tmp_path / 'only'}")


def test_fit_looks_at_a_stream(parquet: Path, tmp_path: Path) -> None:
    fitted = cs.fit(f"hf-stream:{parquet}", cs.Budget(macs="1M"), epochs=1, output=tmp_path / "run", quiet=True)
    assert fitted.choice.reason.startswith("images are about 8 px") and fitted.evaluation.n == 60
    assert "300 training images" in fitted.summary()[0]
